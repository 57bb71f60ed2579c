//! What a kubelet has to be told.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use stdx::{Clock, Random};

use crate::eviction::thresholds::Thresholds;

/// Everything that a kubelet needs; nothing is read from the environment.
#[derive(Clone)]
pub struct Config {
    /// The Node object's name: the lower-case host name.
    pub node_name: String,
    /// The kubelet's own folder (`pods/<uid>/…` lies in it).
    pub root: PathBuf,
    /// Where container logs lie: `<namespace>_<name>_<uid>/<container>/<n>.log`.
    pub logs: PathBuf,
    /// The Unix socket that serves the CRI.
    pub cri_socket: PathBuf,
    /// A client with the node's own identity (`system:node:NAME`, group `system:nodes`).
    pub client: kube::Client,
    /// A folder of static pods; none if absent.
    pub manifests: Option<PathBuf>,
    /// The node's addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
    /// Where the HTTPS server listens (upstream: 0.0.0.0:10250).
    pub bind: SocketAddr,
    /// Certificates of the HTTPS server.
    pub tls: Tls,
    /// Name servers of pods with dnsPolicy ClusterFirst; empty gives them the host's.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain (`cluster.local`).
    pub cluster_domain: String,
    /// The node's range of pod addresses, handed to the runtime.
    pub pod_cidr: Option<String>,
    /// Extra labels of the Node object.
    pub labels: BTreeMap<String, String>,
    /// What pods may not use.
    pub reserved: Reserved,
    /// What must be left of the node's means; below that, pods are evicted.
    pub eviction: Thresholds,
    /// Pods that this node accepts (upstream: 110).
    pub max_pods: u32,
    /// The cgroup that holds all pods (upstream: `kubepods`). Two clusters on one machine need two.
    pub cgroup_root: String,
    pub clock: Clock,
    pub random: Random,
}

/// PEM files of the HTTPS server.
#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Whose client certificates are believed: the cluster's CA.
    pub client_ca: PathBuf,
}

/// Node resources kept from pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reserved {
    pub cpu_millis: u64,
    pub memory_bytes: u64,
}

impl Config {
    /// Sensible values for everything that has a default upstream.
    pub fn new(
        node_name: impl Into<String>,
        root: impl Into<PathBuf>,
        logs: impl Into<PathBuf>,
        cri_socket: impl Into<PathBuf>,
        client: kube::Client,
        tls: Tls,
        addresses: Vec<IpAddr>,
    ) -> Self {
        Self {
            node_name: node_name.into(),
            root: root.into(),
            logs: logs.into(),
            cri_socket: cri_socket.into(),
            client,
            manifests: None,
            addresses,
            bind: SocketAddr::from(([0, 0, 0, 0], 10250)),
            tls,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
            pod_cidr: None,
            labels: BTreeMap::new(),
            reserved: Reserved::default(),
            eviction: Thresholds::default(),
            max_pods: 110,
            cgroup_root: "kubepods".into(),
            clock: Clock::system(),
            random: Random::system(),
        }
    }
}
