//! The extension points, as object-safe traits, and what they exchange.
//!
//! Upstream: k8s.io/kube-scheduler/framework. Differs: a decision is made on one thread with everything at rest, so
//! that filters and scores need no context and no locks; PreBind and Bind are the only ones that wait for anything.

mod event;
mod registry;
mod state;
mod verdict;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

pub use event::{Event, Hint, Kinds};
pub use registry::{Builder, Framework};
pub use state::{CycleState, StateData};
pub use verdict::{Reason, Rejection, RejectionKind, Verdict};

use crate::cache::Snapshot;
use crate::cycle::Diagnosis;
use crate::node_info::NodeInfo;
use crate::nominator::Nominator;
use crate::pod_info::PodInfo;

/// The best score that a plugin may give.
pub const MAX_NODE_SCORE: i64 = 100;

/// What every plugin is.
pub trait Plugin: Send + Sync {
    fn name(&self) -> &'static str;

    /// The kinds of event after which a pod that this plugin rejected may fit.
    fn cures(&self) -> Kinds {
        Kinds::NONE
    }

    /// Whether this very event may cure `pod`; asked only for kinds among [`Plugin::cures`].
    fn hint(&self, _pod: &PodInfo, _event: &Event<'_>) -> Hint {
        Hint::Queue
    }
}

/// Decides whether a pod may enter the active queue at all.
pub trait PreEnqueue: Plugin {
    fn pre_enqueue(&self, pod: &PodInfo) -> Verdict;
}

/// What a PreFilter found out.
pub enum PreFiltered {
    /// The plugin's filter has nothing to say about this pod.
    Skip,
    /// All nodes have to be looked at.
    AllNodes,
    /// Only these can fit.
    Nodes(HashSet<String>),
}

/// Looks at the pod once, before the nodes, and leaves what its filter needs in the state.
pub trait PreFilter: Plugin {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
    ) -> Result<PreFiltered, Rejection>;

    /// `added` is thought to be on `node` too.
    fn add_pod(
        &self,
        _state: &mut CycleState,
        _pod: &PodInfo,
        _added: &PodInfo,
        _node: &NodeInfo,
        _snapshot: &Snapshot,
    ) {
    }

    /// `removed` is thought to be gone from `node`.
    fn remove_pod(
        &self,
        _state: &mut CycleState,
        _pod: &PodInfo,
        _removed: &PodInfo,
        _node: &NodeInfo,
        _snapshot: &Snapshot,
    ) {
    }
}

/// Says whether a pod can run on a node.
pub trait Filter: Plugin {
    fn filter(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict;
}

/// What a PostFilter may look at.
pub struct PostFilterInput<'a> {
    pub framework: &'a Framework,
    pub snapshot: &'a Snapshot,
    pub nominator: &'a Nominator,
    pub state: &'a CycleState,
    pub pod: &'a PodInfo,
    pub diagnosis: &'a Diagnosis,
    /// A random number, for where to begin.
    pub random: u64,
}

/// Room to be made: the victims have to go, the pod is nominated to the node meanwhile.
pub struct Preemption {
    pub node: String,
    pub victims: Vec<Arc<PodInfo>>,
}

/// Tries to make room when no node fits.
pub trait PostFilter: Plugin {
    /// # Errors
    /// The plugin cannot help; its reasons join the pod's message.
    fn post_filter(&self, input: &PostFilterInput<'_>) -> Result<Preemption, Rejection>;
}

/// Whether a score plugin has to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreScored {
    Skip,
    Run,
}

/// Looks at the pod once, before the nodes that fit are scored.
pub trait PreScore: Plugin {
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
        feasible: &[usize],
    ) -> PreScored;
}

/// Ranks a node for a pod; after [`Score::normalize`] from 0 to [`MAX_NODE_SCORE`].
pub trait Score: Plugin {
    fn score(&self, state: &CycleState, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> i64;

    fn normalize(&self, _state: &CycleState, _scores: &mut [i64]) {}
}

/// Keeps a plugin's own books about a pod that is about to be bound.
pub trait Reserve: Plugin {
    fn reserve(&self, pod: &PodInfo, node: &str) -> Verdict;

    /// Undoes [`Reserve::reserve`]; called also when that failed. Must be safe to repeat.
    fn unreserve(&self, pod: &PodInfo, node: &str);
}

/// The last word before binding.
pub trait Permit: Plugin {
    fn permit(&self, pod: &PodInfo, node: &str) -> Verdict;
}

/// Prepares what the pod needs before it is bound.
#[async_trait]
pub trait PreBind: Plugin {
    async fn pre_bind(&self, pod: &PodInfo, node: &str) -> Verdict;
}

/// Binds the pod to the node.
#[async_trait]
pub trait Bind: Plugin {
    async fn bind(&self, pod: &PodInfo, node: &str) -> Verdict;
}
