//! NodeResourcesBalancedAllocation: cpu and memory should fill up alike.

use crate::cache::Snapshot;
use crate::framework::{CycleState, MAX_NODE_SCORE, Plugin, PreScore, PreScored, Score};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

pub(super) struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }
}

impl PreScore for NodeResourcesBalancedAllocation {
    /// Pods that ask for nothing balance nothing.
    fn pre_score(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot, _: &[usize]) -> PreScored {
        let asks = pod.requests.milli_cpu > 0 || pod.requests.memory > 0;
        if asks { PreScored::Run } else { PreScored::Skip }
    }
}

impl Score for NodeResourcesBalancedAllocation {
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo, _: &Snapshot) -> i64 {
        let fraction = |requested: i64, capacity: i64| (requested as f64 / capacity as f64).min(1.0);
        let (cpus, memory) = (node.allocatable.milli_cpu, node.allocatable.memory);
        if cpus == 0 || memory == 0 {
            return MAX_NODE_SCORE;
        }
        let cpu = fraction(node.requested.milli_cpu + pod.requests.milli_cpu, cpus);
        let memory = fraction(node.requested.memory + pod.requests.memory, memory);
        // The standard deviation of two values is half their distance.
        let deviation = (cpu - memory).abs() / 2.0;
        ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
    }
}
