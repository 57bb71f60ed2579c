//! The terms that are a wish: the pod's own, and those of the pods that run already.

use super::{InterPodAffinity, PerDomain, of_key};
use crate::cache::{Pods, Snapshot, Terminating};
use crate::framework::{CycleState, MAX_NODE_SCORE, PreScore, PreScored, Score};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::terms::{Term, Terms};

/// By topology key, how much each domain is liked.
#[derive(Clone)]
struct Liked(Vec<PerDomain>);

impl PreScore for InterPodAffinity {
    fn pre_score(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
        _: &[usize],
    ) -> PreScored {
        let none = Terms::default();
        let own = pod.terms.as_deref().unwrap_or(&none);
        let wishes = !own.preferred.is_empty() || !own.preferred_anti.is_empty();
        if self.ignore_preferred_of_existing && !wishes {
            return PreScored::Skip;
        }
        let mut liked = Vec::new();
        for (term, weight) in &own.preferred {
            like_those_near(&mut liked, term, *weight, snapshot);
        }
        for (term, weight) in &own.preferred_anti {
            like_those_near(&mut liked, term, -weight, snapshot);
        }
        self.like_back(&mut liked, pod, snapshot);
        if liked.is_empty() {
            return PreScored::Skip;
        }
        state.put(Liked(liked));
        PreScored::Run
    }
}

/// The pod's own wish.
fn like_those_near(liked: &mut Vec<PerDomain>, term: &Term, weight: i64, snapshot: &Snapshot) {
    let pods = Pods { picks: vec![term.pick(snapshot)], terminating: Terminating::Count };
    let per_node = snapshot.count(&pods);
    let near = || per_node.iter().enumerate().filter(|(_, pods)| **pods > 0);
    if near().next().is_none() {
        return;
    }
    let liked = of_key(liked, &term.topology_key, snapshot);
    near().for_each(|(at, pods)| liked.add(at, weight * i64::from(*pods)));
}

impl InterPodAffinity {
    /// What pods that run already wish for their neighbors.
    fn like_back(&self, liked: &mut Vec<PerDomain>, pod: &PodInfo, snapshot: &Snapshot) {
        let namespace = snapshot.namespaces.get(&pod.key.namespace);
        for (terms, nodes) in snapshot.carriers() {
            let hard = terms.required.iter().map(|term| (term, self.hard_weight));
            let near = terms.preferred.iter().map(|(term, weight)| (term, *weight));
            let away = terms.preferred_anti.iter().map(|(term, weight)| (term, -weight));
            let all = hard.filter(|(_, weight)| *weight > 0).chain(near).chain(away);
            for (term, weight) in all.filter(|(term, _)| term.is_about(pod, namespace)) {
                let liked = of_key(liked, &term.topology_key, snapshot);
                nodes.iter().for_each(|(at, pods)| liked.add(*at, weight * i64::from(*pods)));
            }
        }
    }
}

impl Score for InterPodAffinity {
    fn score(&self, state: &CycleState, _: &PodInfo, node: &NodeInfo, _: &Snapshot) -> i64 {
        let Some(Liked(liked)) = state.get::<Liked>() else { return 0 };
        liked.iter().filter_map(|one| one.get(node.at)).sum()
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        let (Some(least), Some(most)) = (scores.iter().copied().min(), scores.iter().copied().max()) else {
            return;
        };
        for score in scores {
            let share = if most > least { (*score - least) as f64 / (most - least) as f64 } else { 0.0 };
            *score = (MAX_NODE_SCORE as f64 * share) as i64;
        }
    }
}
