//! The pod network: the [`PodNetwork`] contract, and a CNI-shaped implementation of it.
//!
//! Knows nothing of containers and images: it is handed a network namespace by path.

mod addresses;
mod bridge;
mod cidr;
pub mod cni;

use std::net::IpAddr;
use std::path::PathBuf;

pub use addresses::{AddressError, Addresses};
pub use bridge::{Bridge, Config};
pub use cidr::{CidrError, Ipv4Cidr};

/// Connects sandboxes. Calls are idempotent: a second attach answers the same addresses, a second detach nothing.
#[async_trait::async_trait]
pub trait PodNetwork: Send + Sync {
    async fn attach(&self, pod: &Pod) -> Result<Attachment, Error>;
    /// Gives everything back; works also when the namespace is already gone.
    async fn detach(&self, pod: &Pod) -> Result<(), Error>;
    /// Why pods cannot be connected now; `None` when they can.
    fn not_ready(&self) -> Option<String>;
    /// Tells the node's own range of pod addresses, once it is known.
    fn set_pod_cidr(&self, cidr: &str) -> Result<(), Error>;
}

/// A sandbox to connect.
#[derive(Clone, Debug)]
pub struct Pod {
    pub sandbox_id: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// A file that holds the namespace open: `/proc/PID/ns/net` or a bind mount of it.
    pub netns: PathBuf,
    pub ports: Vec<PortMapping>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    pub protocol: Protocol,
    pub container_port: u16,
    pub host_port: u16,
    /// `None` for every address of the host.
    pub host_ip: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// What a sandbox was given: the primary address first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    pub addresses: Vec<IpAddr>,
}

/// Why a sandbox could not be connected or disconnected.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct Error {
    pub step: String,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
