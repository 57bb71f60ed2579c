//! TaintToleration: taints keep pods away, or make a node less liked.

use k8s_openapi::api::core::v1::Toleration;

use super::normalize;
use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Event, Filter, Hint, Kinds, Plugin, PreScore, PreScored, Rejection, Score, Verdict,
};
use crate::labels;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "TaintToleration";
const REASON: &str = "node(s) had untolerated taint(s)";

pub(super) struct TaintToleration;

/// The tolerations that can be about a soft taint.
#[derive(Clone)]
struct Soft(Vec<Toleration>);

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::NODE_ADD | Kinds::NODE_TAINT | Kinds::POD_TOLERATIONS
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        let taints = event.node.and_then(|node| node.spec.as_ref()).and_then(|spec| spec.taints.as_deref());
        Hint::queue_if(labels::untolerated(taints.unwrap_or_default(), pod.tolerations()).is_none())
    }
}

impl Filter for TaintToleration {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match labels::untolerated(node.taints(), pod.tolerations()) {
            Some(_) => Err(Rejection::unresolvable(NAME, REASON)),
            None => Ok(()),
        }
    }
}

impl PreScore for TaintToleration {
    fn pre_score(&self, state: &mut CycleState, pod: &PodInfo, _: &Snapshot, _: &[usize]) -> PreScored {
        let is_soft = |toleration: &&Toleration| {
            matches!(toleration.effect.as_deref().unwrap_or_default(), "" | "PreferNoSchedule")
        };
        state.put(Soft(pod.tolerations().iter().filter(is_soft).cloned().collect()));
        PreScored::Run
    }
}

impl Score for TaintToleration {
    fn score(&self, state: &CycleState, _: &PodInfo, node: &NodeInfo, _: &Snapshot) -> i64 {
        let soft = state.get::<Soft>().map(|soft| soft.0.as_slice()).unwrap_or_default();
        let unloved = node.taints().iter().filter(|taint| {
            taint.effect == "PreferNoSchedule"
                && !soft.iter().any(|toleration| labels::tolerates(toleration, taint))
        });
        unloved.count() as i64
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        normalize::lowest_is_best(scores);
    }
}
