//! Where a Service is reached.
//!
//! Upstream: pkg/proxy/serviceport.go.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use crate::network::Network;
use crate::node::Facts;

/// Somebody else's load balancer is to serve this Service.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
const DEFAULT_AFFINITY_S: i32 = 10_800;

/// One port of a Service, with what decides how it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub name: String,
    pub protocol_name: String,
    pub protocol: u8,
    pub port: u16,
    pub node_port: Option<u16>,
    pub cluster_ips: Vec<IpAddr>,
    pub external_ips: Vec<IpAddr>,
    pub balancer_ips: Vec<IpAddr>,
    /// Who may reach the balancer's addresses; none for everybody.
    pub source_ranges: Option<Vec<Network>>,
    /// Seconds for which a client keeps its endpoint.
    pub affinity_s: Option<u32>,
    pub internal_local: bool,
    pub external_local: bool,
}

impl Port {
    fn is_reached_from_outside(&self) -> bool {
        self.node_port.is_some() || !self.external_ips.is_empty() || !self.balancer_ips.is_empty()
    }

    /// A local external policy needs them too: for clients inside of the cluster.
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_local || self.is_reached_from_outside()
    }

    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_local || (self.external_local && self.is_reached_from_outside())
    }

    /// The addresses and ports that clients outside of the cluster use.
    pub fn outside(&self, facts: &Facts) -> Vec<(IpAddr, u16)> {
        let nodes = self.node_port.iter().flat_map(|port| facts.addresses.iter().map(|a| (*a, *port)));
        let others = self.external_ips.iter().chain(&self.balancer_ips).map(|a| (*a, self.port));
        let mut all: Vec<_> = nodes.chain(others).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The ports of a Service; none if it is not for us.
pub(crate) fn ports(service: &Service) -> Vec<Port> {
    let Some(spec) = service.spec.as_ref().filter(|spec| is_ours(service, spec)) else { return Vec::new() };
    let cluster_ips = cluster_ips(spec);
    if cluster_ips.is_empty() {
        return Vec::new();
    }
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let protocol_name = port.protocol.clone().unwrap_or_else(|| "TCP".into());
        Some(Port {
            name: port.name.clone().unwrap_or_default(),
            protocol: protocol_number(&protocol_name)?,
            protocol_name,
            port: u16::try_from(port.port).ok()?,
            node_port: port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
            cluster_ips: cluster_ips.clone(),
            external_ips: addresses(spec.external_ips.iter().flatten()),
            balancer_ips: balancer_ips(service),
            source_ranges: source_ranges(spec),
            affinity_s: affinity(spec),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
        })
    };
    spec.ports.iter().flatten().filter_map(port).collect()
}

fn is_ours(service: &Service, spec: &ServiceSpec) -> bool {
    let labels = service.metadata.labels.as_ref();
    let elsewhere = labels.and_then(|labels| labels.get(PROXY_NAME)).is_some_and(|name| !name.is_empty());
    !elsewhere && spec.type_.as_deref() != Some("ExternalName")
}

/// None of a headless Service.
fn cluster_ips(spec: &ServiceSpec) -> Vec<IpAddr> {
    let listed = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let mut all = addresses(listed);
    all.sort_unstable();
    all.dedup();
    all
}

fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<IpAddr> {
    // Validation let only addresses in, but for the words "None" and "".
    texts.into_iter().filter_map(|text| text.parse().ok()).collect()
}

fn balancer_ips(service: &Service) -> Vec<IpAddr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    // In mode Proxy the balancer delivers to the node itself.
    let ours = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
    ours.filter_map(|ingress| ingress.ip.as_ref()?.parse().ok()).collect()
}

fn source_ranges(spec: &ServiceSpec) -> Option<Vec<Network>> {
    let ranges = spec.load_balancer_source_ranges.as_ref().filter(|ranges| !ranges.is_empty())?;
    Some(ranges.iter().filter_map(|range| range.parse().ok()).collect())
}

fn affinity(spec: &ServiceSpec) -> Option<u32> {
    (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let client = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = client.and_then(|client| client.timeout_seconds).unwrap_or(DEFAULT_AFFINITY_S);
        u32::try_from(seconds).unwrap_or(0).max(1)
    })
}

fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}
