//! NodeResourcesFit: a node has what the pod asks for; which is ranked by how full it would be.

use std::borrow::Cow;

use crate::cache::Snapshot;
use crate::config::{PluginArgs, ResourceWeight, ScoringStrategy};
use crate::framework::{
    CycleState, Event, Filter, Hint, Kinds, MAX_NODE_SCORE, Plugin, PreFilter, PreFiltered, Reason,
    Rejection, RejectionKind, Score, Verdict,
};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "NodeResourcesFit";
const TOO_MANY_PODS: &str = "Too many pods";

pub(super) struct NodeResourcesFit {
    strategy: ScoringStrategy,
    ignored: Vec<String>,
    ignored_groups: Vec<String>,
}

impl NodeResourcesFit {
    pub(super) fn new(args: &PluginArgs) -> Self {
        Self {
            strategy: args.scoring_strategy.clone(),
            ignored: args.ignored_resources.clone(),
            ignored_groups: args.ignored_resource_groups.clone(),
        }
    }

    fn is_ignored(&self, resource: &str) -> bool {
        let group = resource.split_once('/').map(|(group, _)| group);
        self.ignored.iter().any(|name| name == resource)
            || group.is_some_and(|group| self.ignored_groups.iter().any(|ignored| ignored == group))
    }

    /// What the node lacks, and whether fewer pods on it would help.
    fn lacks(&self, pod: &PodInfo, node: &NodeInfo) -> Option<(Vec<Reason>, RejectionKind)> {
        let mut reasons: Vec<Reason> = Vec::new();
        let mut kind = RejectionKind::Unschedulable;
        if node.pods.len() as i64 + 1 > node.allowed_pods {
            reasons.push(TOO_MANY_PODS.into());
        }
        let mut check = |reason: Reason, asked: i64, used: i64, allocatable: i64| {
            if asked > 0 && asked > allocatable - used {
                reasons.push(reason);
                if asked > allocatable {
                    kind = RejectionKind::Unresolvable;
                }
            }
        };
        let (asked, used, all) = (&pod.requests, &node.requested, &node.allocatable);
        check(Cow::Borrowed("Insufficient cpu"), asked.milli_cpu, used.milli_cpu, all.milli_cpu);
        check(Cow::Borrowed("Insufficient memory"), asked.memory, used.memory, all.memory);
        check(
            Cow::Borrowed("Insufficient ephemeral-storage"),
            asked.ephemeral_storage,
            used.ephemeral_storage,
            all.ephemeral_storage,
        );
        for (name, amount) in asked.scalar.iter().filter(|(name, _)| !self.is_ignored(name)) {
            check(format!("Insufficient {name}").into(), *amount, used.get(name), all.get(name));
        }
        (!reasons.is_empty()).then_some((reasons, kind))
    }
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::ASSIGNED_POD_DELETE
            | Kinds::ASSIGNED_POD_SCALE_DOWN
            | Kinds::POD_SCALE_DOWN
            | Kinds::NODE_ADD
            | Kinds::NODE_ALLOCATABLE
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        let Some(node) = event.node else { return Hint::Queue };
        let mut info = NodeInfo::default();
        info.set_node(std::sync::Arc::new(node.clone()));
        Hint::queue_if(self.lacks(pod, &info).is_none())
    }
}

impl PreFilter for NodeResourcesFit {
    fn pre_filter(&self, _: &mut CycleState, _: &PodInfo, _: &Snapshot) -> Result<PreFiltered, Rejection> {
        Ok(PreFiltered::AllNodes)
    }
}

impl Filter for NodeResourcesFit {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match self.lacks(pod, node) {
            Some((reasons, kind)) => Err(Rejection { kind, reasons, plugin: NAME }),
            None => Ok(()),
        }
    }
}

impl Score for NodeResourcesFit {
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo, _: &Snapshot) -> i64 {
        let weighted = |score: fn(i64, i64) -> i64, resources: &[ResourceWeight]| {
            mean(pod, node, resources, |requested, capacity| Some(score(requested, capacity)))
        };
        match &self.strategy {
            ScoringStrategy::LeastAllocated(resources) => weighted(least, resources),
            ScoringStrategy::MostAllocated(resources) => weighted(most, resources),
            ScoringStrategy::RequestedToCapacityRatio { resources, shape } => {
                mean(pod, node, resources, |requested, capacity| {
                    let score = on_curve(shape, most(requested, capacity));
                    (score > 0).then_some(score)
                })
            }
        }
    }
}

fn least(requested: i64, capacity: i64) -> i64 {
    if requested > capacity { 0 } else { (capacity - requested) * MAX_NODE_SCORE / capacity }
}

fn most(requested: i64, capacity: i64) -> i64 {
    requested.min(capacity) * MAX_NODE_SCORE / capacity
}

/// The weighted mean over the resources that the node has and that count.
fn mean(
    pod: &PodInfo,
    node: &NodeInfo,
    resources: &[ResourceWeight],
    score: impl Fn(i64, i64) -> Option<i64>,
) -> i64 {
    let (mut total, mut weights) = (0, 0);
    for ResourceWeight { name, weight } in resources {
        let capacity = node.allocatable.get(name);
        let is_extended = !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        // An extended resource counts only for pods that ask for it.
        if capacity == 0 || (is_extended && pod.requests.get(name) == 0) {
            continue;
        }
        let requested = node.counted.get(name) + pod.counted.get(name);
        if let Some(score) = score(requested, capacity) {
            total += score * weight;
            weights += weight;
        }
    }
    if weights == 0 { 0 } else { total / weights }
}

/// The score at a utilization, on straight lines between the points (whose scores go to 10).
fn on_curve(shape: &[(i64, i64)], utilization: i64) -> i64 {
    let scaled = |score: i64| score * MAX_NODE_SCORE / 10;
    let Some(at) = shape.iter().position(|(point, _)| utilization <= *point) else {
        return shape.last().map_or(0, |(_, score)| scaled(*score));
    };
    let (right, high) = (shape[at].0, scaled(shape[at].1));
    let Some((left, low)) = at.checked_sub(1).map(|before| (shape[before].0, scaled(shape[before].1))) else {
        return high;
    };
    low + (high - low) * (utilization - left) / (right - left)
}
