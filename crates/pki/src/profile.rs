//! What each certificate of a cluster says about its holder.
//!
//! Upstream: cmd/kubeadm/app/phases/certs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The names that certificates are issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The node's name: the lower-case host name.
    pub node: String,
    /// Addresses that this machine is reached at, beside loopback.
    pub addresses: Vec<IpAddr>,
    /// Further DNS names of the API server.
    pub dns_names: Vec<String>,
    /// The first address of the service range, where the `kubernetes` Service answers.
    pub service_address: IpAddr,
    /// `cluster.local` unless configured.
    pub cluster_domain: String,
}

impl Names {
    /// The defaults of a cluster whose first node is `node`.
    pub fn new(node: impl Into<String>, addresses: Vec<IpAddr>) -> Self {
        Self {
            node: node.into(),
            addresses,
            dns_names: Vec::new(),
            service_address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Server,
    Client,
    /// A kubelet both serves and dials, and so does the API server.
    Both,
}

/// The subject of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The user name, for a client.
    pub common_name: String,
    /// The groups, for a client.
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub purpose: Purpose,
    pub lifetime: Duration,
}

impl Profile {
    /// A client `name` in `groups`, for a year.
    pub fn client(name: impl Into<String>, groups: &[&str]) -> Self {
        Self {
            common_name: name.into(),
            organizations: groups.iter().map(|group| (*group).to_owned()).collect(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            purpose: Purpose::Client,
            lifetime: 365 * DAY,
        }
    }

    /// The API server's serving certificate.
    pub fn apiserver(names: &Names) -> Self {
        let mut dns_names: Vec<String> =
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
                .map(str::to_owned)
                .into();
        dns_names.push(format!("kubernetes.default.svc.{}", names.cluster_domain));
        dns_names.push(names.node.clone());
        dns_names.extend(names.dns_names.iter().cloned());
        let mut addresses = vec![names.service_address];
        addresses.extend(loopback());
        addresses.extend(&names.addresses);
        Self { dns_names, addresses, purpose: Purpose::Server, ..Self::client("kube-apiserver", &[]) }
            .without_repeats()
    }

    /// A kubelet's serving certificate.
    pub fn kubelet_serving(node: &str, addresses: &[IpAddr]) -> Self {
        let user = format!("system:node:{node}");
        Self {
            dns_names: vec![node.to_owned(), "localhost".to_owned()],
            addresses: addresses.iter().copied().chain(loopback()).collect(),
            purpose: Purpose::Server,
            ..Self::client(user, &["system:nodes"])
        }
        .without_repeats()
    }

    /// A kubelet's client certificate.
    pub fn kubelet_client(node: &str) -> Self {
        Self::client(format!("system:node:{node}"), &["system:nodes"])
    }

    fn without_repeats(mut self) -> Self {
        self.dns_names.sort();
        self.dns_names.dedup();
        self.addresses.sort();
        self.addresses.dedup();
        self
    }
}

fn loopback() -> [IpAddr; 2] {
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
}
