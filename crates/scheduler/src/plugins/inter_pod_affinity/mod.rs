//! InterPodAffinity: pods that want to be near others or away from them, and those that others want so.
//!
//! Upstream: plugins/interpodaffinity. Differs: terms are looked at once for all pods that have the same, and pods
//! counted once for all that ask for the same ([`crate::cache`]).

mod filter;
mod score;

use std::sync::Arc;

use crate::cache::{Pick, Snapshot, Topology};
use crate::config::PluginArgs;
use crate::framework::{Event, Hint, Kinds, Plugin};
use crate::pod_info::PodInfo;
use crate::terms::{Term, Terms};

const NAME: &str = "InterPodAffinity";
const REASON_AFFINITY: &str = "node(s) didn't match pod affinity rules";
const REASON_ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const REASON_EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

pub(super) struct InterPodAffinity {
    /// What a required affinity of a pod that runs counts for, when a pod that it asks for is placed.
    hard_weight: i64,
    ignore_preferred_of_existing: bool,
}

impl InterPodAffinity {
    pub(super) fn new(args: &PluginArgs) -> Self {
        Self {
            hard_weight: args.hard_pod_affinity_weight,
            ignore_preferred_of_existing: args.ignore_preferred_terms_of_existing_pods,
        }
    }
}

/// A number for each domain of a topology.
#[derive(Clone)]
struct PerDomain {
    topology: Arc<Topology>,
    numbers: Vec<i64>,
}

impl PerDomain {
    fn new(topology: Arc<Topology>) -> Self {
        Self { numbers: vec![0; topology.len()], topology }
    }

    fn add(&mut self, at: usize, number: i64) {
        if self.topology.has(at) {
            self.numbers[self.topology.domain(at) as usize] += number;
        }
    }

    /// None where the node does not have the label.
    fn get(&self, at: usize) -> Option<i64> {
        self.topology.has(at).then(|| self.numbers[self.topology.domain(at) as usize])
    }

    fn is_zero(&self) -> bool {
        self.numbers.iter().all(|number| *number == 0)
    }
}

/// The numbers of one topology key among several.
fn of_key<'a>(all: &'a mut Vec<PerDomain>, key: &str, snapshot: &Snapshot) -> &'a mut PerDomain {
    match all.iter().position(|one| one.topology.key == key) {
        Some(at) => &mut all[at],
        None => {
            all.push(PerDomain::new(snapshot.topology(key)));
            let last = all.len() - 1;
            &mut all[last]
        }
    }
}

fn picks(terms: &[Term], snapshot: &Snapshot) -> Vec<Pick> {
    terms.iter().map(|term| term.pick(snapshot)).collect()
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::ASSIGNED_POD_ADD
            | Kinds::ASSIGNED_POD_DELETE
            | Kinds::ASSIGNED_POD_LABEL
            | Kinds::NODE_ADD
            | Kinds::NODE_LABEL
            | Kinds::POD_LABEL
            | Kinds::NAMESPACE
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        let none = Terms::default();
        let terms = pod.terms.as_deref().unwrap_or(&none);
        if let Some(other) = event.pod {
            return Hint::queue_if(pod_helps(pod, terms, other, event.kinds));
        }
        let Some(node) = event.node else { return Hint::Queue };
        let labels = node.metadata.labels.as_ref();
        let has = |term: &Term| labels.is_some_and(|labels| labels.contains_key(&term.topology_key));
        let relabeled = event.kinds.intersects(Kinds::NODE_LABEL);
        Hint::queue_if(relabeled || terms.required.iter().all(has))
    }
}

/// Whether a pod that came, went or got other labels may let `pod` in. Without its namespace's labels at hand a term
/// with a namespace selector is taken to be about it.
fn pod_helps(pod: &PodInfo, terms: &Terms, other: &PodInfo, kinds: Kinds) -> bool {
    if kinds.intersects(Kinds::ASSIGNED_POD_LABEL) {
        return true;
    }
    if kinds.intersects(Kinds::ASSIGNED_POD_DELETE) {
        let mut away = terms.required_anti.iter();
        let keeps_away = other.terms.iter().flat_map(|terms| &terms.required_anti);
        return away.any(|term| term.may_be_about(other))
            || keeps_away.into_iter().any(|term| term.may_be_about(pod));
    }
    !terms.required.is_empty() && terms.required.iter().all(|term| term.may_be_about(other))
}
