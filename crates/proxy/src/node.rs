//! What the rules of a node depend on, of the node itself.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;

const ZONE: &str = "topology.kubernetes.io/zone";

/// A node as its proxy sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    pub zone: Option<String>,
    /// Where NodePorts are answered.
    ///
    /// Upstream: `--nodeport-addresses=primary`, the default of nftables mode: never loopback.
    pub addresses: Vec<IpAddr>,
}

impl Facts {
    /// Of a node that is not registered yet, only the name is known.
    pub fn of(name: &str, node: Option<&Node>) -> Self {
        let labels = node.and_then(|node| node.metadata.labels.as_ref());
        let addresses = node.and_then(|node| node.status.as_ref()?.addresses.as_ref());
        let addresses = addresses.into_iter().flatten();
        let addresses = addresses.filter(|a| matches!(a.type_.as_str(), "InternalIP" | "ExternalIP"));
        let mut addresses: Vec<IpAddr> = addresses.filter_map(|a| a.address.parse().ok()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self { name: name.to_owned(), zone: labels.and_then(|labels| labels.get(ZONE)).cloned(), addresses }
    }
}
