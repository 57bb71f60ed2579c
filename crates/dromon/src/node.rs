//! What this machine calls itself, and how it is reached.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The lower-case host name.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_lowercase()
}

/// The address that this machine would use towards the outside; loopback where there is no outside.
pub fn address() -> IpAddr {
    // Connecting a datagram socket sends nothing: it only asks the routing table. The target is a documentation
    // address (RFC 5737).
    let ask = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    match ask() {
        Ok(address) if !address.ip().is_unspecified() => address.ip(),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}
