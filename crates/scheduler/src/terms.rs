//! What a pod says about other pods, compiled once.
//!
//! Upstream: framework.AffinityTerm. matchLabelKeys and mismatchLabelKeys are in the selector already: the server
//! puts them there when the pod is made.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, WeightedPodAffinityTerm};

use crate::cache::{Namespaces, Pick, Snapshot};
use crate::pod_info::PodInfo;
use crate::selector::{Labels, Selector};

/// All terms of one pod; pods of one owner have equal ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    pub required: Vec<Term>,
    pub required_anti: Vec<Term>,
    /// With their weights.
    pub preferred: Vec<(Term, i64)>,
    pub preferred_anti: Vec<(Term, i64)>,
}

/// Some pods, and what being near them means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Term {
    namespaces: BTreeSet<String>,
    namespace_selector: Selector,
    selector: Selector,
    pub topology_key: String,
}

impl Terms {
    pub fn new(namespace: &str, affinity: &Affinity) -> Self {
        let term = |term: &PodAffinityTerm| Term::new(namespace, term);
        let weighted =
            |w: &WeightedPodAffinityTerm| (Term::new(namespace, &w.pod_affinity_term), i64::from(w.weight));
        let mut terms = Self::default();
        if let Some(near) = &affinity.pod_affinity {
            let required = near.required_during_scheduling_ignored_during_execution.iter().flatten();
            let preferred = near.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            terms.required = required.map(term).collect();
            terms.preferred = preferred.map(weighted).collect();
        }
        if let Some(away) = &affinity.pod_anti_affinity {
            let required = away.required_during_scheduling_ignored_during_execution.iter().flatten();
            let preferred = away.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            terms.required_anti = required.map(term).collect();
            terms.preferred_anti = preferred.map(weighted).collect();
        }
        terms
    }

    pub fn is_empty(&self) -> bool {
        self.required.is_empty()
            && self.required_anti.is_empty()
            && self.preferred.is_empty()
            && self.preferred_anti.is_empty()
    }
}

impl Term {
    fn new(namespace: &str, term: &PodAffinityTerm) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        Self {
            namespaces,
            namespace_selector: Selector::of(term.namespace_selector.as_ref()),
            selector: Selector::of(term.label_selector.as_ref()),
            topology_key: term.topology_key.clone(),
        }
    }

    /// Whether the term is about `pod`, whose namespace has these labels.
    pub fn is_about(&self, pod: &PodInfo, namespace: Option<&Labels>) -> bool {
        (self.namespaces.contains(&pod.key.namespace) || self.namespace_selector.picks(namespace))
            && self.selector.picks(pod.labels())
    }

    /// As [`Term::is_about`], for any namespace that a selector may pick.
    pub fn may_be_about(&self, pod: &PodInfo) -> bool {
        let namespace =
            self.namespaces.contains(&pod.key.namespace) || self.namespace_selector != Selector::Nothing;
        namespace && self.selector.picks(pod.labels())
    }

    /// The pods that the term is about, by the namespaces that are there now.
    pub fn pick(&self, snapshot: &Snapshot) -> Pick {
        if self.namespace_selector.picks_everything() {
            return Pick { namespaces: Namespaces::All, selector: self.selector.clone() };
        }
        let mut names = self.namespaces.clone();
        if self.namespace_selector != Selector::Nothing {
            let all = snapshot.namespaces.iter();
            let picked = all.filter(|(_, labels)| self.namespace_selector.picks(Some(labels)));
            names.extend(picked.map(|(name, _)| name.clone()));
        }
        Pick { namespaces: Namespaces::Named(names), selector: self.selector.clone() }
    }
}
