//! nftables over netlink: tables as data, and one transaction for each change, applied whole or not at all.
//!
//! Encoded here and not by netlink-packet-netfilter, which has neither NAT, random numbers, fib, dynamic sets nor
//! reject. Constants are the kernel's (include/uapi/linux/netfilter/nf_tables.h).
//! Reading order: [`expr`], [`ruleset`], [`batch`], [`live`].

mod batch;
mod expr;
mod live;
mod ruleset;
mod show;

pub use batch::{Batch, Table};
pub use expr::{CtKey, Expr, Into, Meta, Packet, Reg, Verdict};
pub use live::Live;
pub use ruleset::{Chain, Elements, Field, Hang, Item, Key, Rule, Ruleset, Set, Value};

pub(crate) const SUBSYSTEM: u16 = 10;
pub(crate) const NEW_TABLE: u16 = 0;
pub(crate) const DEL_TABLE: u16 = 2;
pub(crate) const NEW_CHAIN: u16 = 3;
pub(crate) const GET_CHAIN: u16 = 4;
pub(crate) const DEL_CHAIN: u16 = 5;
pub(crate) const NEW_RULE: u16 = 6;
pub(crate) const GET_RULE: u16 = 7;
pub(crate) const DEL_RULE: u16 = 8;
pub(crate) const NEW_SET: u16 = 9;
pub(crate) const GET_SET: u16 = 10;
pub(crate) const DEL_SET: u16 = 11;
pub(crate) const NEW_ELEMENT: u16 = 12;
pub(crate) const GET_ELEMENT: u16 = 13;
pub(crate) const DEL_ELEMENT: u16 = 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    Inet = 1,
    Ipv4 = 2,
    Ipv6 = 10,
}

/// Where a base chain hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}
