//! Gives every node a range of pod addresses of its own.
//!
//! Upstream: pkg/controller/nodeipam/ipam/range_allocator.go. Differs: what is taken is read off the nodes each time,
//! so that nothing has to be kept in step or given back; one worker makes sure that no range is given twice.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;

use crate::context::Context;

/// The prefix length of a node's range (upstream's --node-cidr-mask-size-ipv4 and -ipv6).
const NODE_PREFIX_V4: u8 = 24;
const NODE_PREFIX_V6: u8 = 64;

/// The ranges that nodes get a part of: one, or one of each family. An address family comes at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRanges(Vec<Range>);

/// Why a cluster range cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    #[error("{text:?} is no CIDR")]
    Malformed { text: String },
    #[error("{text:?} is smaller than the range of one node")]
    TooSmall { text: String },
    #[error("{text:?} is a second range of its family")]
    Repeated { text: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    /// As a number of 128 bits; IPv4 uses the lowest 32.
    base: u128,
    prefix: u8,
    is_v4: bool,
}

impl ClusterRanges {
    /// Reads `10.244.0.0/16`, or one range of each family with a comma between.
    ///
    /// # Errors
    /// For what is no CIDR, or cannot hold one node's range.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let mut ranges: Vec<Range> = Vec::new();
        for part in text.split(',') {
            let range = Range::parse(part).ok_or_else(|| RangeError::Malformed { text: part.into() })?;
            if range.prefix > range.node_prefix() {
                return Err(RangeError::TooSmall { text: part.into() });
            }
            if ranges.iter().any(|other| other.is_v4 == range.is_v4) {
                return Err(RangeError::Repeated { text: part.into() });
            }
            ranges.push(range);
        }
        Ok(Self(ranges))
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.trim().split_once('/')?;
        // What is no address or number is no CIDR, and told so by the caller.
        let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
        let (number, is_v4) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), true),
            IpAddr::V6(v6) => (u128::from(v6), false),
        };
        let bits = if is_v4 { 32 } else { 128 };
        let free = bits - u32::from(Some(prefix).filter(|prefix| u32::from(*prefix) <= bits)?);
        let base = number.checked_shr(free).and_then(|n| n.checked_shl(free)).unwrap_or(0);
        Some(Self { base, prefix, is_v4 })
    }

    fn node_prefix(self) -> u8 {
        if self.is_v4 { NODE_PREFIX_V4 } else { NODE_PREFIX_V6 }
    }

    fn size(self) -> u128 {
        let bits = if self.is_v4 { 32 } else { 128 };
        1_u128.checked_shl(bits - u32::from(self.prefix)).unwrap_or(u128::MAX)
    }

    fn overlaps(self, other: Self) -> bool {
        let last = |range: Self| range.base.saturating_add(range.size() - 1);
        self.is_v4 == other.is_v4 && self.base <= last(other) && other.base <= last(self)
    }

    /// The parts for nodes, in order.
    fn parts(self) -> impl Iterator<Item = Self> {
        let prefix = self.node_prefix();
        let count = 1_u128.checked_shl(u32::from(prefix - self.prefix)).unwrap_or(u128::MAX);
        let part = Self { prefix, ..self };
        (0..count).map(move |n| Self { base: self.base + n * part.size(), ..part })
    }

    fn text(self) -> String {
        let address: IpAddr = match u32::try_from(self.base) {
            Ok(v4) if self.is_v4 => IpAddr::V4(v4.into()),
            _ => IpAddr::V6(self.base.into()),
        };
        format!("{address}/{}", self.prefix)
    }
}

/// The first free part of every range; none when one is exhausted.
fn allocate(ranges: &ClusterRanges, taken: &[Range]) -> Option<Vec<String>> {
    let exact: HashSet<u128> =
        taken.iter().filter(|range| range.prefix == range.node_prefix()).map(|range| range.base).collect();
    let odd: Vec<Range> = taken.iter().copied().filter(|range| range.prefix != range.node_prefix()).collect();
    let free = |part: &Range| !exact.contains(&part.base) && !odd.iter().any(|other| other.overlaps(*part));
    ranges.0.iter().map(|range| range.parts().find(free).map(Range::text)).collect()
}

fn ranges_of(node: &Node) -> Vec<String> {
    let spec = node.spec.clone().unwrap_or_default();
    match spec.pod_cidrs.filter(|all| !all.is_empty()) {
        Some(all) => all,
        None => spec.pod_cidr.filter(|cidr| !cidr.is_empty()).into_iter().collect(),
    }
}

struct Reconciler {
    context: Context,
    nodes: Store<Node>,
    ranges: ClusterRanges,
    /// Given out, and not yet seen on the node.
    given: Mutex<HashMap<String, Vec<String>>>,
}

pub(crate) async fn start(context: Context, ranges: ClusterRanges) {
    let nodes = context.hub.store::<Node>();
    if !nodes.synced().await {
        return;
    }
    let all = nodes.clone();
    Controller::new("node-ipam", &context.hub)
        .watches(&nodes, move |change| match change {
            // A range came free: those without one are tried again.
            Change::Deleted(_) => {
                let waiting = all.list().into_iter().filter(|node| ranges_of(node).is_empty());
                waiting.map(|node| Key::of(&*node)).collect()
            }
            Change::Applied { new, .. } => vec![Key::of(&**new)],
        })
        .workers(1)
        .run(Arc::new(Reconciler { context, nodes, ranges, given: Mutex::default() }));
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(node) = self.nodes.get(key).filter(|node| ranges_of(node).is_empty()) else {
            self.given.lock().remove(&key.name);
            return Ok(Next::AwaitChange);
        };
        let Some(given) = self.allocation(&key.name) else {
            let message = format!("Node {} status is now: CIDRNotAvailable", key.name);
            self.context.recorder.event(&reference(&*node), EventType::Normal, "CIDRNotAvailable", message);
            return Ok(Next::AwaitChange);
        };
        let patch =
            json!({"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": given[0], "podCIDRs": given}});
        let api: Api<Node> = Api::all(self.context.client.clone());
        match api.patch(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => {
                self.given.lock().remove(&key.name);
                Ok(Next::AwaitChange)
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Next::AwaitChange),
        }
    }
}

impl Reconciler {
    /// What this node gets: the same again when it was given before.
    fn allocation(&self, name: &str) -> Option<Vec<String>> {
        let mut given = self.given.lock();
        if let Some(known) = given.get(name) {
            return Some(known.clone());
        }
        let on_nodes = self.nodes.list().into_iter().flat_map(|node| ranges_of(&node));
        let taken: Vec<Range> = on_nodes
            .chain(given.values().flatten().cloned())
            .filter_map(|text| Range::parse(&text))
            .collect();
        let fresh = allocate(&self.ranges, &taken)?;
        given.insert(name.to_owned(), fresh.clone());
        Some(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(cluster: &str, taken: &[&str]) -> String {
        let ranges = ClusterRanges::parse(cluster).expect("ranges");
        let taken: Vec<_> = taken.iter().map(|text| Range::parse(text).expect("a range")).collect();
        allocate(&ranges, &taken).map_or("none".into(), |all| all.join(","))
    }

    #[test]
    fn the_first_free_part_is_given() {
        assert_eq!(given("10.244.0.0/16", &[]), "10.244.0.0/24");
        assert_eq!(given("10.244.0.0/16", &["10.244.0.0/24", "10.244.2.0/24"]), "10.244.1.0/24");
        assert_eq!(given("10.244.0.0/16", &["10.244.0.0/23"]), "10.244.2.0/24");
        assert_eq!(given("10.244.0.0/24", &["10.244.0.0/24"]), "none");
        assert_eq!(
            given("10.244.0.0/16,fd00::/48", &["10.244.0.0/24", "fd00::/64"]),
            "10.244.1.0/24,fd00:0:0:1::/64"
        );
    }

    #[test]
    fn ranges_that_cannot_be_are_refused() {
        for text in ["x", "10.244.0.0", "10.244.0.0/25", "10.0.0.0/8,10.1.0.0/16", "10.0.0.0/33"] {
            assert!(ClusterRanges::parse(text).is_err(), "{text}");
        }
    }
}
