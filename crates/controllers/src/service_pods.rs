//! Which pods serve a Service, and on which ports: shared by Endpoints and EndpointSlices.

use std::sync::Arc;

use client::{Change, Key, Store};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{pods, selector};

/// The Services whose selector picks the pod, before or after the change.
pub(crate) fn services_of(change: &Change<Pod>, services: &Store<Service>) -> Vec<Key> {
    let mut states = vec![change.object().clone()];
    if let Change::Applied { old: Some(old), new } = change {
        if same_endpoint(old, new) {
            return Vec::new();
        }
        states.push(old.clone());
    }
    let namespace = states[0].metadata.namespace.clone().unwrap_or_default();
    let picks = |service: &Service| {
        let selector = selector_of(service);
        selector
            .is_some_and(|s| states.iter().any(|pod| selector::map_matches(s, pod.metadata.labels.as_ref())))
    };
    let picked = services.in_namespace(&namespace).into_iter().filter(|service| picks(service));
    picked.map(|service| Key::of(&*service)).collect()
}

/// Whether nothing changed that an endpoint tells of a pod.
fn same_endpoint(a: &Pod, b: &Pod) -> bool {
    let ips = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ips.clone());
    a.metadata.labels == b.metadata.labels
        && a.metadata.deletion_timestamp == b.metadata.deletion_timestamp
        && pods::is_ready(a) == pods::is_ready(b)
        && pods::is_finished(a) == pods::is_finished(b)
        && pods::node_name(a) == pods::node_name(b)
        && ips(a) == ips(b)
}

/// A Service without a selector is served by hand, an ExternalName one by nobody.
pub(crate) fn selector_of(service: &Service) -> Option<&std::collections::BTreeMap<String, String>> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    spec.selector.as_ref().filter(|selector| !external && !selector.is_empty())
}

/// One pod behind a Service.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub pod: Arc<Pod>,
    pub ip: String,
    /// Ready, or to be published all the same.
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
}

/// The pods with an address that the Service selects, by address.
pub(crate) fn backends(service: &Service, all: &Store<Pod>) -> Vec<Backend> {
    let Some(selector) = selector_of(service) else { return Vec::new() };
    let publish = service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false);
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let picked = all.in_namespace(namespace).into_iter().filter(|pod| {
        selector::map_matches(selector, pod.metadata.labels.as_ref()) && !pods::is_finished(pod)
    });
    let mut backends: Vec<_> = picked.filter_map(|pod| backend(pod, publish)).collect();
    backends.sort_by(|a, b| a.ip.cmp(&b.ip));
    backends
}

fn backend(pod: Arc<Pod>, publish: bool) -> Option<Backend> {
    let ip = pod.status.as_ref()?.pod_ip.clone().filter(|ip| !ip.is_empty())?;
    let (serving, terminating) = (pods::is_ready(&pod), pods::is_terminating(&pod));
    Some(Backend { ip, ready: publish || (serving && !terminating), serving, terminating, pod })
}

impl Backend {
    pub fn target(&self) -> ObjectReference {
        ObjectReference {
            kind: Some("Pod".into()),
            namespace: self.pod.metadata.namespace.clone(),
            name: self.pod.metadata.name.clone(),
            uid: self.pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }
    }

    pub fn node(&self) -> Option<String> {
        pods::node_name(&self.pod).map(str::to_owned)
    }

    /// The pod's host name, where the Service is the one that the pod's subdomain names.
    pub fn hostname(&self, service: &Service) -> Option<String> {
        let spec = self.pod.spec.as_ref()?;
        let same = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
        spec.hostname.clone().filter(|_| same)
    }
}

/// The port of `pod` that a port of a Service leads to; none where the pod has no port of that name.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec
                .init_containers
                .iter()
                .flatten()
                .filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let mut named = ports.filter(|p| {
                p.name.as_ref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol
            });
            named.next().map(|p| p.container_port)
        }
    }
}
