//! The kernel's table of connections: what it knows, and forgetting some of it.
//!
//! Constants are the kernel's (include/uapi/linux/netfilter/nfnetlink_conntrack.h).

use std::io;
use std::net::IpAddr;

use super::netlink::{ACK, REQUEST, attribute, dump, find, message, nested, transact};
use super::nft::Family;

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;

/// One direction of a connection. Ports are zero for protocols without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
}

/// A connection: as its first packet was sent, and as answers come back.
#[derive(Clone, Debug)]
pub struct Flow {
    pub protocol: u8,
    pub original: Tuple,
    pub reply: Tuple,
    family: Family,
    tuple: Vec<u8>,
    id: Vec<u8>,
}

/// All connections of a family.
///
/// # Errors
/// The kernel does not track connections, or we may not ask.
pub fn flows(family: Family) -> io::Result<Vec<Flow>> {
    let answers = dump(SUBSYSTEM << 8 | GET, family as u8, &[])?;
    Ok(answers.iter().filter_map(|answer| flow(family, answer)).collect())
}

fn flow(family: Family, body: &[u8]) -> Option<Flow> {
    let (original, reply) = (find(body, 1)?, find(body, 2)?);
    Some(Flow {
        protocol: *find(find(original, 2)?, 1)?.first()?,
        original: tuple(original)?,
        reply: tuple(reply)?,
        family,
        tuple: original.to_vec(),
        id: find(body, 12)?.to_vec(),
    })
}

fn tuple(body: &[u8]) -> Option<Tuple> {
    let (addresses, ports) = (find(body, 1)?, find(body, 2)?);
    let port = |kind| find(ports, kind).and_then(|p| p.first_chunk()).map_or(0, |p| u16::from_be_bytes(*p));
    Some(Tuple {
        source: address(find(addresses, 1).or_else(|| find(addresses, 3))?)?,
        destination: address(find(addresses, 2).or_else(|| find(addresses, 4))?)?,
        source_port: port(2),
        destination_port: port(3),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        _ => bytes.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
    }
}

impl Flow {
    /// Forgets the connection; its next packet is a first one again. Gone already is fine.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn forget(&self) -> io::Result<()> {
        let mut body = Vec::new();
        nested(&mut body, 1, |body| body.extend(&self.tuple));
        attribute(&mut body, 12, &self.id);
        let request = message(SUBSYSTEM << 8 | DELETE, REQUEST | ACK, self.family as u8, 0, &body);
        match transact(&request, 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }
}
