//! What a table holds, as data.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::net::netlink::nested;

use super::{Expr, Hook, Verdict};

/// A table's whole content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub sets: BTreeMap<&'static str, Set>,
    pub chains: BTreeMap<String, Chain>,
    pub elements: Elements,
}

/// The elements of each set.
pub type Elements = BTreeMap<&'static str, HashMap<Key, Value>>;

/// One part of a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    /// 32 bits in the machine's byte order.
    Number,
}

/// A set, or a map if it has values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub key: Vec<Field>,
    pub item: Item,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Only keys.
    Key,
    /// Only keys, whose parts may be ranges; a key has at least two parts.
    Range,
    Value(Vec<Field>),
    Verdict,
    /// Values that rules put there and that time takes away; never compared.
    Timed(Vec<Field>),
}

/// Where a base chain hangs; a smaller priority comes earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hang {
    /// `filter` or `nat`.
    pub kind: &'static str,
    pub hook: Hook,
    pub priority: i32,
}

pub type Rule = Vec<Expr>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub hang: Option<Hang>,
    pub rules: Vec<Rule>,
}

/// An element's key: parts one after the other, each filled up to four bytes; with an end if it is a range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub start: Vec<u8>,
    pub end: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    None,
    Bytes(Vec<u8>),
    Verdict(Verdict),
}

impl Field {
    pub(super) fn width(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Number => 4,
            Self::Ipv6 => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// nft's number for it, so that nft can show what is ours.
    fn code(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Number => 19,
        }
    }
}

/// The length that the kernel is told.
pub(super) fn width(fields: &[Field]) -> u32 {
    match fields {
        [one] => one.width(),
        many => many.iter().map(|field| field.width().next_multiple_of(4)).sum(),
    }
}

/// nft packs the parts' numbers into one, six bits each.
pub(super) fn code(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |code, field| code << 6 | field.code())
}

impl Key {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.bytes(&address.octets()),
            IpAddr::V6(address) => self.bytes(&address.octets()),
        }
    }

    pub fn protocol(self, protocol: u8) -> Self {
        self.bytes(&[protocol])
    }

    pub fn port(self, port: u16) -> Self {
        self.bytes(&port.to_be_bytes())
    }

    pub fn number(self, number: u32) -> Self {
        self.bytes(&number.to_ne_bytes())
    }

    /// The same part for the start and the end.
    fn bytes(self, bytes: &[u8]) -> Self {
        self.between(bytes, bytes)
    }

    /// A range of addresses, both ends included.
    pub fn addresses(mut self, first: IpAddr, last: IpAddr) -> Self {
        self.end.get_or_insert_with(|| self.start.clone());
        let bytes = |address| Key::new().address(address).start;
        self.between(&bytes(first), &bytes(last))
    }

    pub fn ports(mut self, first: u16, last: u16) -> Self {
        self.end.get_or_insert_with(|| self.start.clone());
        self.between(&first.to_be_bytes(), &last.to_be_bytes())
    }

    pub fn protocols(mut self, first: u8, last: u8) -> Self {
        self.end.get_or_insert_with(|| self.start.clone());
        self.between(&[first], &[last])
    }

    fn between(mut self, first: &[u8], last: &[u8]) -> Self {
        push_padded(&mut self.start, first);
        if let Some(end) = &mut self.end {
            push_padded(end, last);
        }
        self
    }

    /// As a value of a map.
    pub fn value(self) -> Value {
        Value::Bytes(self.start)
    }
}

fn push_padded(out: &mut Vec<u8>, part: &[u8]) {
    out.extend(part);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Tells rules apart: FNV-1a over what the kernel is sent.
pub(super) fn fingerprint(rule: &Rule) -> u64 {
    let mut bytes = Vec::new();
    rule.iter().for_each(|step| nested(&mut bytes, 1, |out| step.write(out)));
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

impl Ruleset {
    /// An element that two owners want must have the same value; the later one counts.
    pub fn insert(&mut self, set: &'static str, key: Key, value: Value) {
        self.elements.entry(set).or_default().insert(key, value);
    }
}
