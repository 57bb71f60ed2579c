//! The terms that must hold: the pod's own, and those of the pods that run already.

use std::sync::Arc;

use super::{
    InterPodAffinity, NAME, PerDomain, REASON_AFFINITY, REASON_ANTI_AFFINITY, REASON_EXISTING, of_key, picks,
};
use crate::cache::{Pick, Pods, Snapshot, Terminating};
use crate::framework::{CycleState, Filter, PreFilter, PreFiltered, Rejection, Verdict};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::terms::{Term, Terms};

/// What was counted for a pod.
#[derive(Clone)]
struct Counted {
    own: Arc<Own>,
    /// For each term, the pods that all affinity terms are about.
    affinity: Vec<PerDomain>,
    /// For each term, the pods that it is about.
    anti_affinity: Vec<PerDomain>,
    /// By topology key, the terms of other pods that keep this one away.
    existing: Vec<PerDomain>,
}

/// What the pod asks for.
struct Own {
    affinity: Vec<Pick>,
    anti_affinity: Vec<Pick>,
    /// Whether the pod itself is one that its affinity terms are about.
    is_of_its_group: bool,
}

impl PreFilter for InterPodAffinity {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
    ) -> Result<PreFiltered, Rejection> {
        let none = Terms::default();
        let terms = pod.terms.as_deref().unwrap_or(&none);
        let existing = existing(pod, snapshot);
        if existing.is_empty() && terms.required.is_empty() && terms.required_anti.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        let affinity = picks(&terms.required, snapshot);
        let own = Own {
            is_of_its_group: affinity.iter().all(|pick| pick.picks(pod)),
            affinity,
            anti_affinity: picks(&terms.required_anti, snapshot),
        };
        let near = |term: &Term| count(term, own.affinity.clone(), snapshot);
        let away = |(term, pick): (&Term, &Pick)| count(term, vec![pick.clone()], snapshot);
        let counted = Counted {
            affinity: terms.required.iter().map(near).collect(),
            anti_affinity: terms.required_anti.iter().zip(&own.anti_affinity).map(away).collect(),
            own: Arc::new(own),
            existing,
        };
        state.put(counted);
        Ok(PreFiltered::AllNodes)
    }

    fn add_pod(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        added: &PodInfo,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) {
        change(state, pod, added, node, snapshot, 1);
    }

    fn remove_pod(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        removed: &PodInfo,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) {
        change(state, pod, removed, node, snapshot, -1);
    }
}

/// How many pods that all of `picks` pick are in each domain of the term.
fn count(term: &Term, picks: Vec<Pick>, snapshot: &Snapshot) -> PerDomain {
    let per_node = snapshot.count(&Pods { picks, terminating: Terminating::Count });
    let mut counted = PerDomain::new(snapshot.topology(&term.topology_key));
    for (at, pods) in per_node.iter().enumerate().filter(|(_, pods)| **pods > 0) {
        counted.add(at, i64::from(*pods));
    }
    counted
}

/// Where pods are that keep this one away.
fn existing(pod: &PodInfo, snapshot: &Snapshot) -> Vec<PerDomain> {
    let namespace = snapshot.namespaces.get(&pod.key.namespace);
    let mut existing = Vec::new();
    for (terms, nodes) in snapshot.carriers() {
        for term in terms.required_anti.iter().filter(|term| term.is_about(pod, namespace)) {
            let counted = of_key(&mut existing, &term.topology_key, snapshot);
            nodes.iter().for_each(|(at, pods)| counted.add(*at, i64::from(*pods)));
        }
    }
    existing
}

fn change(
    state: &mut CycleState,
    pod: &PodInfo,
    other: &PodInfo,
    node: &NodeInfo,
    snapshot: &Snapshot,
    by: i64,
) {
    let Some(counted) = state.get_mut::<Counted>() else { return };
    let own = counted.own.clone();
    if own.affinity.iter().all(|pick| pick.picks(other)) {
        counted.affinity.iter_mut().for_each(|one| one.add(node.at, by));
    }
    for (one, _) in
        counted.anti_affinity.iter_mut().zip(&own.anti_affinity).filter(|(_, pick)| pick.picks(other))
    {
        one.add(node.at, by);
    }
    let namespace = snapshot.namespaces.get(&pod.key.namespace);
    let keeps_away = other.terms.iter().flat_map(|terms| &terms.required_anti);
    for term in keeps_away.filter(|term| term.is_about(pod, namespace)) {
        of_key(&mut counted.existing, &term.topology_key, snapshot).add(node.at, by);
    }
}

impl Counted {
    fn is_near(&self, at: usize) -> bool {
        let here = |one: &PerDomain| one.get(at);
        // Every term needs its label, whether or not anybody is there.
        if !self.affinity.iter().all(|one| here(one).is_some()) {
            return false;
        }
        self.affinity.iter().all(|one| here(one).is_some_and(|pods| pods > 0)) || self.is_first()
    }

    /// The first pod of a group that wants to be together has nobody to be near to.
    fn is_first(&self) -> bool {
        self.own.is_of_its_group && self.affinity.iter().all(PerDomain::is_zero)
    }
}

fn has_any(all: &[PerDomain], at: usize) -> bool {
    all.iter().any(|one| one.get(at).is_some_and(|pods| pods > 0))
}

impl Filter for InterPodAffinity {
    fn filter(&self, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(counted) = state.get::<Counted>() else { return Ok(()) };
        if !counted.is_near(node.at) {
            return Err(Rejection::unresolvable(NAME, REASON_AFFINITY));
        }
        if has_any(&counted.anti_affinity, node.at) {
            return Err(Rejection::unschedulable(NAME, REASON_ANTI_AFFINITY));
        }
        if has_any(&counted.existing, node.at) {
            return Err(Rejection::unschedulable(NAME, REASON_EXISTING));
        }
        Ok(())
    }
}
