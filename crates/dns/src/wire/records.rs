//! The records of another server's answer that lead from a name to addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Data, HEADER, Packed, Record, kind, long, name, number};

/// CNAME, A and AAAA records of the answer section, in order.
pub(crate) fn addresses(packed: &Packed) -> Vec<Record> {
    let bytes = packed.bytes();
    let Some(mut at) = name::skip(bytes, HEADER).map(|end| end + 4) else { return Vec::new() };
    let mut found = Vec::new();
    for mark in packed.marks().iter().take(packed.answers()) {
        found.extend(record(bytes, at, mark.ttl_at));
        at = mark.end;
    }
    found
}

fn record(bytes: &[u8], at: usize, ttl_at: usize) -> Option<Record> {
    let data_at = ttl_at + 6;
    let data = match number(bytes, ttl_at - 4)? {
        kind::CNAME => Data::Cname(name::text(bytes, data_at).filter(|target| name::is_sound(target))?),
        kind::A => Data::A(Ipv4Addr::from(long(bytes, data_at)?)),
        kind::AAAA => {
            let octets: [u8; 16] = bytes.get(data_at..data_at + 16)?.try_into().ok()?;
            Data::Aaaa(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    let owner = name::text(bytes, at).filter(|owner| name::is_sound(owner))?;
    Some(Record { owner, ttl: long(bytes, ttl_at)?, data })
}
