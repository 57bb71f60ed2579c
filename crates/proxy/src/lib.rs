//! Service load balancing on one node: nftables maps, changed element by element.
//!
//! An ordinary client of the API server (`system:kube-proxy`) that reads Services, EndpointSlices and its own Node.
//! Data flows one way: objects → [`frontends`] and [`endpoints`] → [`rules`] (pure: the elements that one Service
//! wants) → [`desired`] (what all of them want, and what changed) → [`kernel`] (one transaction a change).
//! Never runs a program, never polls, never touches another table of the machine.
//!
//! Upstream: pkg/proxy/nftables. Differs: a Service is elements of shared maps and never a chain of its own, so that
//! the rules stay as short with ten thousand Services as with ten; no packet marks, the connection's first
//! destination tells whether it is masqueraded.

mod desired;
mod endpoints;
mod frontends;
#[cfg(test)]
mod golden_tests;
mod health;
mod kernel;
mod layout;
mod network;
mod node;
mod rules;
mod run;

pub use desired::Desired;
pub use kernel::{Kernel, KernelError};
pub use network::{Network, NetworkError};
pub use node::Facts;
pub use run::{Config, Error, Proxy};

/// The table of the cluster with this suffix.
pub fn table_name(suffix: &str) -> String {
    format!("dromon-services{suffix}")
}

/// Removes what a proxy with this suffix ever made.
///
/// # Errors
/// The kernel refuses.
pub fn teardown(suffix: &str) -> std::io::Result<()> {
    use linux::net::nft::{Family, Table};
    Table { family: Family::Ipv4, name: table_name(suffix) }.remove()
}
