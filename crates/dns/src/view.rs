//! What the cluster has, as far as names go.

use std::net::IpAddr;
use std::sync::Arc;

use client::{Hub, Key, Store};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// Services and slices by address.
const ADDRESS: &str = "dns/address";
/// Slices by the Service that they belong to.
const SERVICE: &str = "dns/service";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[derive(Clone)]
pub(crate) struct View {
    pub services: Store<Service>,
    pub slices: Store<EndpointSlice>,
    pub namespaces: Store<Namespace>,
}

/// An endpoint that is ready, at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub address: IpAddr,
    /// The endpoint's own name: its host name, or its address with dashes.
    pub name: String,
    /// None where the Service has no ports.
    pub port: Option<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub name: String,
    pub protocol: String,
    pub number: u16,
}

impl View {
    pub fn watch(hub: &Hub) -> Self {
        Self::over(hub.store(), hub.store(), hub.store())
    }

    pub fn over(
        services: Store<Service>,
        slices: Store<EndpointSlice>,
        namespaces: Store<Namespace>,
    ) -> Self {
        services
            .add_index(ADDRESS, |service: &Service| cluster_ips(service).map(|ip| ip.to_string()).collect());
        slices.add_index(ADDRESS, |slice: &EndpointSlice| {
            slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.iter().cloned()).collect()
        });
        slices.add_index(SERVICE, |slice: &EndpointSlice| service_of(slice).into_iter().collect());
        Self { services, slices, namespaces }
    }

    /// Returns once everything that there is has been seen.
    pub async fn synced(&self) {
        self.services.synced().await;
        self.slices.synced().await;
        self.namespaces.synced().await;
    }

    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.get(&Key::new("", name)).is_some()
    }

    pub fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(&Key::new(namespace, name))
    }

    /// Every ready endpoint of a Service at every port.
    pub fn targets(&self, namespace: &str, service: &str) -> Vec<Target> {
        let slices = self.slices.by_index(SERVICE, &format!("{namespace}/{service}"));
        slices.iter().flat_map(|slice| targets(slice)).collect()
    }

    /// The Services with this cluster address.
    pub fn services_at(&self, address: IpAddr) -> Vec<Key> {
        let services = self.services.by_index(ADDRESS, &address.to_string());
        services.iter().map(|service| Key::of(&**service)).collect()
    }

    /// The named endpoints at this address: host name and Service.
    pub fn endpoints_at(&self, address: IpAddr) -> Vec<(String, Key)> {
        let text = address.to_string();
        let mut found = Vec::new();
        for slice in self.slices.by_index(ADDRESS, &text) {
            let Some(service) = service_name(&slice) else { continue };
            let key = Key::new(slice.metadata.namespace.clone().unwrap_or_default(), service);
            let here = ready(&slice).filter(|endpoint| endpoint.addresses.contains(&text));
            found.extend(here.filter_map(|endpoint| Some((host_name(endpoint)?, key.clone()))));
        }
        found
    }
}

/// The addresses of a Service that is not headless.
pub(crate) fn cluster_ips(service: &Service) -> impl Iterator<Item = IpAddr> + '_ {
    let spec = service.spec.as_ref();
    let all = spec.and_then(|spec| spec.cluster_ips.as_ref()).filter(|ips| !ips.is_empty());
    let texts = match all {
        Some(ips) => ips.as_slice(),
        None => spec.and_then(|spec| spec.cluster_ip.as_ref()).map(std::slice::from_ref).unwrap_or_default(),
    };
    // "None" is no address.
    texts.iter().filter_map(|ip| ip.parse().ok())
}

fn service_name(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str).filter(|name| !name.is_empty())
}

fn service_of(slice: &EndpointSlice) -> Option<String> {
    Some(format!("{}/{}", slice.metadata.namespace.as_deref()?, service_name(slice)?))
}

fn ready(slice: &EndpointSlice) -> impl Iterator<Item = &Endpoint> {
    let is_ready = |endpoint: &&Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    slice.endpoints.iter().flatten().filter(is_ready)
}

fn host_name(endpoint: &Endpoint) -> Option<String> {
    endpoint.hostname.clone().filter(|name| !name.is_empty())
}

fn targets(slice: &EndpointSlice) -> Vec<Target> {
    let ports = ports(slice);
    let mut found = Vec::new();
    for endpoint in ready(slice) {
        // A slice of names (addressType FQDN) leads to no address.
        for address in endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()) {
            let name = host_name(endpoint).unwrap_or_else(|| dashed(address));
            found.extend(ports.iter().map(|port| Target { address, name: name.clone(), port: port.clone() }));
        }
    }
    found
}

fn ports(slice: &EndpointSlice) -> Vec<Option<Port>> {
    let ports = slice.ports.iter().flatten().filter_map(|port| {
        Some(Some(Port {
            name: port.name.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            // The API allows no other numbers.
            number: u16::try_from(port.port?).ok()?,
        }))
    });
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() { vec![None] } else { ports }
}

pub(crate) fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}
