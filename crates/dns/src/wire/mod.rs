//! DNS messages as bytes: reading queries, keeping and sending answers (RFC 1035, RFC 6891).
//!
//! Does no I/O. Reading order: [`name`], [`query`], [`write`], [`packed`], [`records`].

pub(crate) mod name;
pub(crate) mod packed;
pub(crate) mod query;
pub(crate) mod records;
pub(crate) mod write;

pub(crate) use packed::Packed;
pub(crate) use query::{Query, Reject};
pub(crate) use write::{Data, Record, Reply};

/// The length of a message's header.
pub(crate) const HEADER: usize = 12;

/// What may be asked for; the numbers are IANA's.
pub(crate) mod kind {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NoSuchName = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// Two bytes of `bytes`, or none if they are not there.
pub(crate) fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}

pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}
