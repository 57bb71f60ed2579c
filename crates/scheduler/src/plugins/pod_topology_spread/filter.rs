//! The constraints that must hold.

use std::sync::Arc;

use super::constraint::{self, Constraint};
use super::{NAME, PodTopologySpread, REASON, REASON_NO_LABEL};
use crate::cache::{Snapshot, Topology};
use crate::framework::{CycleState, Filter, PreFilter, PreFiltered, Rejection, Verdict};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

/// One constraint with what is counted for it.
#[derive(Clone)]
struct Counted {
    constraint: Arc<Constraint>,
    topology: Arc<Topology>,
    /// Pods by domain; none where no node of the domain counts.
    pods: Vec<Option<i64>>,
    domains: usize,
    /// The fewest pods of any domain.
    fewest: i64,
    /// 1 if the pod itself will count.
    itself: i64,
}

#[derive(Clone)]
struct Hard(Vec<Counted>);

impl PreFilter for PodTopologySpread {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
    ) -> Result<PreFiltered, Rejection> {
        let constraints = self.hard(pod);
        if constraints.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        let topologies = constraint::topologies(&constraints, snapshot);
        let count = |(constraint, topology): (Constraint, &Arc<Topology>)| {
            Counted::new(constraint, topology, &topologies, pod, snapshot)
        };
        state.put(Hard(constraints.into_iter().zip(&topologies).map(count).collect()));
        Ok(PreFiltered::AllNodes)
    }

    fn add_pod(&self, state: &mut CycleState, pod: &PodInfo, added: &PodInfo, node: &NodeInfo, _: &Snapshot) {
        change(state, pod, added, node, 1);
    }

    fn remove_pod(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        removed: &PodInfo,
        node: &NodeInfo,
        _: &Snapshot,
    ) {
        change(state, pod, removed, node, -1);
    }
}

fn change(state: &mut CycleState, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, by: i64) {
    let Some(Hard(all)) = state.get_mut::<Hard>() else { return };
    let counts =
        other.key.namespace == pod.key.namespace && all.iter().all(|counted| counted.topology.has(node.at));
    if !counts {
        return;
    }
    for counted in all {
        if counted.constraint.selector.picks(other.labels()) && counted.constraint.includes(pod, node) {
            counted.change(node.at, by);
        }
    }
}

impl Counted {
    fn new(
        constraint: Constraint,
        topology: &Arc<Topology>,
        all: &[Arc<Topology>],
        pod: &PodInfo,
        snapshot: &Snapshot,
    ) -> Self {
        let per_node = snapshot.count(&constraint.pods(pod));
        let mut pods: Vec<Option<i64>> = vec![None; topology.len()];
        for (at, node) in snapshot.nodes().iter().enumerate() {
            if all.iter().all(|topology| topology.has(at)) && constraint.includes(pod, node) {
                let domain = pods[topology.domain(at) as usize].get_or_insert(0);
                *domain += i64::from(per_node[at]);
            }
        }
        let itself = i64::from(constraint.selector.picks(pod.labels()));
        let domains = pods.iter().flatten().count();
        let mut counted = Self {
            constraint: Arc::new(constraint),
            topology: topology.clone(),
            pods,
            domains,
            fewest: 0,
            itself,
        };
        counted.find_fewest();
        counted
    }

    fn change(&mut self, at: usize, by: i64) {
        let domain = self.topology.domain(at) as usize;
        *self.pods[domain].get_or_insert(0) += by;
        self.find_fewest();
    }

    fn find_fewest(&mut self) {
        self.fewest = self.pods.iter().flatten().copied().min().unwrap_or(i64::from(i32::MAX));
    }

    fn admits(&self, at: usize) -> Verdict {
        if !self.topology.has(at) {
            return Err(Rejection::unresolvable(NAME, REASON_NO_LABEL));
        }
        let here = self.pods[self.topology.domain(at) as usize].unwrap_or(0);
        // With too few domains every pod beyond the skew waits for another domain.
        let fewest = if self.domains < self.constraint.min_domains { 0 } else { self.fewest };
        if here + self.itself - fewest > self.constraint.max_skew {
            return Err(Rejection::unschedulable(NAME, REASON));
        }
        Ok(())
    }
}

impl Filter for PodTopologySpread {
    fn filter(&self, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(Hard(all)) = state.get::<Hard>() else { return Ok(()) };
        all.iter().try_for_each(|counted| counted.admits(node.at))
    }
}
