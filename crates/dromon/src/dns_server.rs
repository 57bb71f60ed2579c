//! The cluster's DNS on a node: where it listens, and what it is told.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use stdx::{Clock, Random, error_chain};

use crate::layout::Layout;

/// The address of the Service kube-dns.
pub const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));
const DOMAIN: &str = "cluster.local";
const PORT: u16 = 53;

/// At the Service's address; where another cluster of this machine has it, at the address of our own bridge.
///
/// None leaves pods with the node's resolvers: a machine whose port 53 is taken everywhere still runs pods.
pub async fn bind(layout: &Layout, pod_cidr: &str) -> Option<dns::Bound> {
    let bound = match dns::Bound::on_node(SERVICE).await {
        Err(dns::BindError::Taken { .. }) => at_bridge(pod_cidr).await,
        bound => bound.inspect(|_| note(layout)),
    };
    bound
        .inspect_err(|error| {
            tracing::error!(error = error_chain(error), "the cluster's names are not answered")
        })
        .ok()
}

async fn at_bridge(pod_cidr: &str) -> Result<dns::Bound, dns::BindError> {
    let range = pod_cidr.parse::<network::Ipv4Cidr>().map(network::Ipv4Cidr::gateway);
    // The pod network has been set up with this range.
    let bridge = range.unwrap_or(Ipv4Addr::LOCALHOST);
    dns::Bound::at(SocketAddr::from((bridge, PORT))).await
}

/// So that only the cluster that gave the address takes it back.
fn note(layout: &Layout) {
    if let Err(error) = fs::write(layout.dns_address(), SERVICE.to_string()) {
        tracing::warn!(%error, "cannot note the address of the cluster's DNS");
    }
}

pub fn describe(address: Option<IpAddr>) -> String {
    match address {
        Some(address) => format!("cluster DNS on {address}"),
        None => "no cluster DNS: port 53 is taken (see the log)".into(),
    }
}

pub fn server(client: kube::Client, clock: Clock, random: Random) -> dns::Server {
    dns::Server::new(dns::Config {
        client,
        domain: DOMAIN.into(),
        service: SERVICE,
        resolv_conf: "/etc/resolv.conf".into(),
        clock,
        random,
    })
}

/// Takes the address from the loopback device, if it is from us.
pub fn give_back(layout: &Layout) -> Result<()> {
    if !layout.dns_address().exists() {
        return Ok(());
    }
    dns::give_back(SERVICE).context("cannot remove the address of the cluster's DNS")
}
