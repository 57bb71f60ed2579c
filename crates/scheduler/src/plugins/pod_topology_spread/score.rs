//! The constraints that are a wish: the fewer pods of the group in the domain, the better.

use std::sync::Arc;

use super::PodTopologySpread;
use super::constraint::{self, Constraint, HOSTNAME};
use crate::cache::{NO_DOMAIN, Snapshot, Topology};
use crate::framework::{CycleState, MAX_NODE_SCORE, PreScore, PreScored, Score};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

/// What a node scores that lacks one of the labels, until all is normalized.
const IGNORED: i64 = -1;

#[derive(Clone)]
struct Soft {
    /// Whether a node must have all labels to be ranked.
    all_keys: bool,
    constraints: Vec<Weighted>,
}

#[derive(Clone)]
struct Weighted {
    topology: Arc<Topology>,
    max_skew: i64,
    weight: f64,
    pods: Pods,
}

#[derive(Clone)]
enum Pods {
    /// By the node's place: every node is a domain.
    PerNode(Arc<Vec<u32>>),
    PerDomain(Vec<i64>),
}

impl PreScore for PodTopologySpread {
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
        feasible: &[usize],
    ) -> PreScored {
        let constraints = self.soft(pod);
        if constraints.is_empty() {
            return PreScored::Skip;
        }
        let all_keys = self.needs_all_keys(pod);
        let topologies = constraint::topologies(&constraints, snapshot);
        let counts = |at: usize| !all_keys || topologies.iter().all(|topology| topology.has(at));
        let ranked: Vec<usize> = feasible.iter().copied().filter(|at| counts(*at)).collect();
        let others: Vec<usize> = (0..snapshot.nodes().len()).filter(|at| counts(*at)).collect();
        let weigh = |(constraint, topology): (&Constraint, &Arc<Topology>)| {
            Weighted::new(constraint, topology, pod, snapshot, (&ranked, &others))
        };
        let constraints = constraints.iter().zip(&topologies).map(weigh).collect();
        state.put(Soft { all_keys, constraints });
        PreScored::Run
    }
}

impl Weighted {
    /// `ranked` are the nodes among which the best is sought, `others` all whose pods count.
    fn new(
        constraint: &Constraint,
        topology: &Arc<Topology>,
        pod: &PodInfo,
        snapshot: &Snapshot,
        (ranked, others): (&[usize], &[usize]),
    ) -> Self {
        let per_node = snapshot.count(&constraint.pods(pod));
        let (pods, domains) = if constraint.key == HOSTNAME {
            (Pods::PerNode(per_node), ranked.len())
        } else {
            let (sought, domains) = domains(topology, ranked);
            let mut pods = vec![0; topology.len()];
            for at in others.iter().copied().filter(|at| topology.has(*at)) {
                let domain = topology.domain(at) as usize;
                if sought[domain] && constraint.includes(pod, &snapshot.nodes()[at]) {
                    pods[domain] += i64::from(per_node[at]);
                }
            }
            (Pods::PerDomain(pods), domains)
        };
        // The more domains, the fewer pods in each: the logarithm keeps wide topologies from being drowned out.
        let weight = ((domains + 2) as f64).ln();
        Self { topology: topology.clone(), max_skew: constraint.max_skew, weight, pods }
    }

    fn score(&self, at: usize) -> f64 {
        let domain = self.topology.domain(at);
        if domain == NO_DOMAIN {
            return 0.0;
        }
        let pods = match &self.pods {
            Pods::PerNode(pods) => i64::from(pods[at]),
            Pods::PerDomain(pods) => pods[domain as usize],
        };
        pods as f64 * self.weight + (self.max_skew - 1) as f64
    }
}

/// Which domains the nodes are in, and how many these are; nodes without the label are one more, with the empty name.
fn domains(topology: &Topology, nodes: &[usize]) -> (Vec<bool>, usize) {
    let mut sought = vec![false; topology.len()];
    let mut unnamed = false;
    for at in nodes {
        match topology.domain(*at) {
            NO_DOMAIN => unnamed = true,
            domain => sought[domain as usize] = true,
        }
    }
    let empty = topology.id("").is_some_and(|id| sought[id as usize]);
    let count = sought.iter().filter(|sought| **sought).count() + usize::from(unnamed && !empty);
    (sought, count)
}

impl Score for PodTopologySpread {
    fn score(&self, state: &CycleState, _: &PodInfo, node: &NodeInfo, _: &Snapshot) -> i64 {
        let Some(soft) = state.get::<Soft>() else { return 0 };
        if soft.all_keys && soft.constraints.iter().any(|one| !one.topology.has(node.at)) {
            return IGNORED;
        }
        let score: f64 = soft.constraints.iter().map(|one| one.score(node.at)).sum();
        score.round() as i64
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        let ranked = || scores.iter().copied().filter(|score| *score != IGNORED);
        let (least, most) = (ranked().min().unwrap_or(0), ranked().max().unwrap_or(0).max(0));
        for score in scores {
            *score = match *score {
                IGNORED => 0,
                _ if most == 0 => MAX_NODE_SCORE,
                score => MAX_NODE_SCORE * (most + least - score) / most,
            };
        }
    }
}
