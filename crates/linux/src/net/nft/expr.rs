//! The steps of rules: each loads into, compares or uses 32-bit registers.

use crate::net::netlink::{attribute, long, nested, number, text};

use super::Family;

/// One of sixteen 32-bit registers; a value takes as many in a row as it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reg(pub u8);

impl Reg {
    /// The register that stands `bytes` behind this one.
    pub fn after(self, bytes: usize) -> Self {
        Self(self.0 + bytes.div_ceil(4) as u8)
    }

    /// NFT_REG32_00 is 8.
    fn code(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// Which header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packet {
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meta {
    /// The device's name, 16 bytes.
    InputName = 6,
    OutputName = 7,
    Protocol = 16,
}

/// What conntrack knows of a packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtKey {
    /// A bit set: 2 established, 4 related, 8 new.
    State,
    /// A bit set: 0x10 source NAT, 0x20 destination NAT.
    Status,
    /// 0 as the connection's first packet, 1 the other way.
    Direction,
    /// The first packet's destination, before any translation.
    OriginalDestination(Family),
    OriginalSource(Family),
    OriginalDestinationPort,
    Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Drop,
    Accept,
    Return,
    Jump(String),
    Goto(String),
}

/// What a lookup does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Into {
    /// Goes on if the key is there.
    Present,
    /// Goes on if it is not.
    Absent,
    Register(Reg),
    Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    Load {
        from: Packet,
        offset: u32,
        len: u32,
        to: Reg,
    },
    Meta {
        key: Meta,
        to: Reg,
    },
    Ct {
        key: CtKey,
        to: Reg,
    },
    /// The kind of route to the packet's source: 2 is one of this machine's addresses.
    SourceType {
        to: Reg,
    },
    DestinationType {
        to: Reg,
    },
    /// Keeps the bits of the mask.
    Mask {
        at: Reg,
        mask: Vec<u8>,
    },
    Equal {
        at: Reg,
        value: Vec<u8>,
    },
    NotEqual {
        at: Reg,
        value: Vec<u8>,
    },
    Lookup {
        set: &'static str,
        key: Reg,
        into: Into,
    },
    /// A number from 0 to below `below`, stored in the machine's byte order.
    Random {
        below: u32,
        to: Reg,
    },
    Put {
        value: Vec<u8>,
        to: Reg,
    },
    Verdict(Verdict),
    /// Sends the connection to the address and port that stand in these registers.
    DestinationNat {
        family: Family,
        address: Reg,
        port: Reg,
    },
    /// Takes the outgoing device's address as source, with a random port.
    Masquerade,
    /// Answers that the port is not reachable.
    Reject(Family),
    /// Adds the key, or starts its time anew.
    Update {
        set: &'static str,
        key: Reg,
        data: Option<Reg>,
        timeout_ms: u64,
    },
}

/// NF_NAT_RANGE_PROTO_RANDOM_FULLY.
const RANDOM_PORT: u32 = 1 << 4;
impl Expr {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        text(out, 1, self.name());
        nested(out, 2, |out| self.data(out));
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Load { .. } => "payload",
            Self::Meta { .. } => "meta",
            Self::Ct { .. } => "ct",
            Self::SourceType { .. } | Self::DestinationType { .. } => "fib",
            Self::Mask { .. } => "bitwise",
            Self::Equal { .. } | Self::NotEqual { .. } => "cmp",
            Self::Lookup { .. } => "lookup",
            Self::Random { .. } => "numgen",
            Self::Put { .. } | Self::Verdict(_) => "immediate",
            Self::DestinationNat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Reject(_) => "reject",
            Self::Update { .. } => "dynset",
        }
    }

    fn data(&self, out: &mut Vec<u8>) {
        match self {
            Self::Load { from, offset, len, to } => numbers(out, &[to.code(), *from as u32, *offset, *len]),
            Self::Meta { key, to } => numbers(out, &[to.code(), *key as u32]),
            Self::Ct { key, to } => connection(out, *key, *to),
            // NFT_FIB_RESULT_ADDRTYPE of the source, of the destination.
            Self::SourceType { to } => numbers(out, &[to.code(), 3, 1]),
            Self::DestinationType { to } => numbers(out, &[to.code(), 3, 2]),
            Self::Mask { at, mask } => bitwise(out, *at, mask),
            Self::Equal { at, value } => compare(out, *at, 0, value),
            Self::NotEqual { at, value } => compare(out, *at, 1, value),
            Self::Lookup { set, key, into } => lookup(out, set, *key, *into),
            // NFT_NG_RANDOM.
            Self::Random { below, to } => numbers(out, &[to.code(), *below, 1, 0]),
            Self::Put { value, to } => {
                number(out, 1, to.code());
                nested(out, 2, |out| attribute(out, 1, value));
            }
            Self::Verdict(verdict) => {
                number(out, 1, 0);
                nested(out, 2, |out| verdict.write(out));
            }
            Self::DestinationNat { family, address, port } => {
                number(out, 1, 1);
                number(out, 2, *family as u32);
                number(out, 3, address.code());
                number(out, 5, port.code());
            }
            Self::Masquerade => number(out, 1, RANDOM_PORT),
            Self::Reject(family) => {
                // Port unreachable in ICMP, in ICMPv6, and in the spelling that suits both (NFT_REJECT_ICMPX_UNREACH).
                let (kind, code) = match family {
                    Family::Ipv4 => (0, 3),
                    Family::Ipv6 => (0, 4),
                    Family::Inet => (2, 1),
                };
                number(out, 1, kind);
                attribute(out, 2, &[code]);
            }
            Self::Update { set, key, data, timeout_ms } => update(out, set, *key, *data, *timeout_ms),
        }
    }
}

impl Verdict {
    /// NFTA_DATA_VERDICT with its code and chain.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (code, chain) = match self {
            Self::Drop => (0, None),
            Self::Accept => (1, None),
            Self::Return => (-5, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
        };
        nested(out, 2, |out| {
            number(out, 1, code as u32);
            if let Some(chain) = chain {
                text(out, 2, chain);
            }
        });
    }
}

/// Attributes 1, 2, 3 and so on.
fn numbers(out: &mut Vec<u8>, values: &[u32]) {
    (1..).zip(values).for_each(|(kind, value)| number(out, kind, *value));
}

fn connection(out: &mut Vec<u8>, key: CtKey, to: Reg) {
    const ORIGINAL: Option<u8> = Some(0);
    let (code, direction) = match key {
        CtKey::State => (0, None),
        CtKey::Direction => (1, None),
        CtKey::Status => (2, None),
        CtKey::Protocol => (10, ORIGINAL),
        CtKey::OriginalDestinationPort => (12, ORIGINAL),
        CtKey::OriginalSource(Family::Ipv6) => (21, ORIGINAL),
        CtKey::OriginalSource(_) => (19, ORIGINAL),
        CtKey::OriginalDestination(Family::Ipv6) => (22, ORIGINAL),
        CtKey::OriginalDestination(_) => (20, ORIGINAL),
    };
    numbers(out, &[to.code(), code]);
    if let Some(direction) = direction {
        attribute(out, 3, &[direction]);
    }
}

fn bitwise(out: &mut Vec<u8>, at: Reg, mask: &[u8]) {
    numbers(out, &[at.code(), at.code(), mask.len() as u32]);
    nested(out, 4, |out| attribute(out, 1, mask));
    nested(out, 5, |out| attribute(out, 1, &vec![0; mask.len()]));
}

fn compare(out: &mut Vec<u8>, at: Reg, operator: u32, value: &[u8]) {
    numbers(out, &[at.code(), operator]);
    nested(out, 3, |out| attribute(out, 1, value));
}

fn lookup(out: &mut Vec<u8>, set: &str, key: Reg, into: Into) {
    text(out, 1, set);
    number(out, 2, key.code());
    match into {
        Into::Present => {}
        Into::Absent => number(out, 5, 1),
        Into::Register(to) => number(out, 3, to.code()),
        Into::Verdict => number(out, 3, 0),
    }
}

fn update(out: &mut Vec<u8>, set: &str, key: Reg, data: Option<Reg>, timeout_ms: u64) {
    text(out, 1, set);
    number(out, 3, 1);
    number(out, 4, key.code());
    if let Some(data) = data {
        number(out, 5, data.code());
    }
    long(out, 6, timeout_ms);
}
