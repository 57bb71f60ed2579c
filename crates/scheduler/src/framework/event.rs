//! What happened in the cluster, as far as it can help a pod that waits.

use std::ops::BitOr;

use client::Key;
use k8s_openapi::api::core::v1::Node;

use crate::pod_info::PodInfo;

/// A set of kinds of event.
///
/// Upstream: framework.ClusterEvent, one bit for each pair of resource and action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    pub const NONE: Self = Self(0);
    pub const NODE_ADD: Self = Self(1);
    pub const NODE_DELETE: Self = Self(1 << 1);
    pub const NODE_ALLOCATABLE: Self = Self(1 << 2);
    pub const NODE_LABEL: Self = Self(1 << 3);
    pub const NODE_TAINT: Self = Self(1 << 4);
    pub const NODE_OTHER: Self = Self(1 << 5);
    /// A pod appeared on a node.
    pub const ASSIGNED_POD_ADD: Self = Self(1 << 6);
    /// A pod left its node, or ended there.
    pub const ASSIGNED_POD_DELETE: Self = Self(1 << 7);
    pub const ASSIGNED_POD_LABEL: Self = Self(1 << 8);
    pub const ASSIGNED_POD_SCALE_DOWN: Self = Self(1 << 9);
    /// The waiting pod itself changed.
    pub const POD_LABEL: Self = Self(1 << 10);
    pub const POD_TOLERATIONS: Self = Self(1 << 11);
    pub const POD_SCALE_DOWN: Self = Self(1 << 12);
    pub const POD_GATES: Self = Self(1 << 13);
    pub const POD_OTHER: Self = Self(1 << 14);
    pub const NAMESPACE: Self = Self(1 << 15);
    pub const CLAIM: Self = Self(1 << 16);
    pub const VOLUME: Self = Self(1 << 17);
    pub const STORAGE_CLASS: Self = Self(1 << 18);

    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One event.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    pub kinds: Kinds,
    /// The node that changed, as it is now.
    pub node: Option<&'a Node>,
    /// The pod on a node that changed, as it is now; the last state of one that is gone.
    pub pod: Option<&'a PodInfo>,
    /// The claim that changed.
    pub claim: Option<&'a Key>,
}

impl<'a> Event<'a> {
    pub fn node(kinds: Kinds, node: &'a Node) -> Self {
        Self { node: Some(node), ..Self::of(kinds) }
    }

    /// About nothing in particular.
    pub fn of(kinds: Kinds) -> Self {
        Self { kinds, node: None, pod: None, claim: None }
    }

    pub fn claim(kinds: Kinds, claim: &'a Key) -> Self {
        Self { claim: Some(claim), ..Self::of(kinds) }
    }

    pub fn pod(kinds: Kinds, pod: &'a PodInfo) -> Self {
        Self { pod: Some(pod), ..Self::of(kinds) }
    }
}

/// What a plugin thinks of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It cannot help.
    Skip,
    /// The pod is worth another try.
    Queue,
}

impl Hint {
    pub fn queue_if(worth: bool) -> Self {
        if worth { Self::Queue } else { Self::Skip }
    }
}
