//! Where a node answers: at the cluster's DNS address itself, which stands on the node's loopback device.
//!
//! The address is the one of the Service kube-dns, and the Service's only endpoint is the same address. A service
//! proxy, ours or another, thus translates it to itself, and every node answers its own pods.

use std::io;
use std::net::{IpAddr, SocketAddr};

use linux::net::with_links;
use tokio::net::{TcpListener, UdpSocket};

const PORT: u16 = 53;
const LOOPBACK: &str = "lo";

/// Why a node cannot answer at an address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("another program answers DNS at {address}")]
    Taken { address: SocketAddr },
    #[error("cannot listen at {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot give the node the address {address}")]
    Address { address: IpAddr, source: linux::net::Error },
    #[error("the netlink thread ended early")]
    Thread(#[source] tokio::task::JoinError),
}

/// The sockets of a server.
pub struct Bound {
    address: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Bound {
    /// Listens at `address`, which the machine has already. With port 0 the machine chooses one.
    ///
    /// # Errors
    /// If another program is there, or the machine does not let us.
    pub async fn at(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { address },
            _ => BindError::Listen { address, source },
        };
        let udp = UdpSocket::bind(address).await.map_err(failed)?;
        let address = udp.local_addr().map_err(failed)?;
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self { address, udp, tcp })
    }

    /// Listens at a cluster address: the loopback device is given it.
    ///
    /// # Errors
    /// As [`Bound::at`]; or if the address cannot be added.
    pub async fn on_node(address: IpAddr) -> Result<Self, BindError> {
        match Self::at(SocketAddr::new(address, PORT)).await {
            Err(BindError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrNotAvailable => {}
            bound => return bound,
        }
        let add = move || {
            with_links(None, |links| async move {
                let loopback = links.require(LOOPBACK).await?;
                // In a network namespace of our own it may be down still.
                links.up(loopback).await?;
                links.add_address(loopback, address, host_prefix(address)).await
            })
        };
        let added = tokio::task::spawn_blocking(add).await.map_err(BindError::Thread)?;
        added.map_err(|source| BindError::Address { address, source })?;
        Self::at(SocketAddr::new(address, PORT)).await
    }

    pub fn address(&self) -> IpAddr {
        self.address.ip()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn into_parts(self) -> (UdpSocket, TcpListener) {
        (self.udp, self.tcp)
    }
}

/// Takes a cluster address from the loopback device; not there is fine. Blocks.
///
/// # Errors
/// If the kernel refuses.
pub fn give_back(address: IpAddr) -> Result<(), linux::net::Error> {
    with_links(None, |links| async move {
        let loopback = links.require(LOOPBACK).await?;
        links.delete_address(loopback, address).await
    })
}

fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
