//! What a server needs to be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Everything that differs between two servers. Plain data; [`Config::local`] has the defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen for TLS; port 0 lets the system choose. None serves in-process callers only.
    pub listen: Option<SocketAddr>,
    /// The address that the `kubernetes` Service leads to.
    pub advertise_address: IpAddr,
    /// Certificates and keys.
    pub pki: Arc<pki::Pki>,
    /// `cluster.local`
    pub cluster_domain: String,
    /// Network of ClusterIPs: address and prefix length.
    pub service_network: (Ipv4Addr, u8),
    /// First and last node port that is given out.
    pub node_ports: (u16, u16),
    /// Events live this long, in seconds.
    pub event_ttl_seconds: u64,
    /// Bodies longer than this are refused.
    pub max_body_bytes: usize,
}

impl Config {
    /// Defaults of a cluster on one machine, in process only.
    pub fn local(pki: Arc<pki::Pki>) -> Self {
        Self {
            listen: None,
            advertise_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            pki,
            cluster_domain: "cluster.local".into(),
            service_network: (Ipv4Addr::new(10, 96, 0, 0), 12),
            node_ports: (30000, 32767),
            event_ttl_seconds: 3600,
            max_body_bytes: 3 * 1024 * 1024,
        }
    }

    /// The port that clients in the cluster are led to.
    pub fn advertise_port(&self) -> u16 {
        match self.listen {
            Some(address) if address.port() != 0 => address.port(),
            _ => 6443,
        }
    }

    /// Address and port as they stand in documents.
    pub fn advertised(&self) -> String {
        SocketAddr::new(self.advertise_address, self.advertise_port()).to_string()
    }
}
