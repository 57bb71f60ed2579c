//! NodeAffinity: the node selector and the node affinity of the pod.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{NodeAffinity as Affinity, NodeSelectorTerm};

use super::normalize;
use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Event, Filter, Hint, Kinds, Plugin, PreFilter, PreFiltered, PreScore, PreScored, Rejection,
    Score, Verdict,
};
use crate::labels;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "NodeAffinity";
const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

pub(super) struct NodeAffinity;

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::NODE_ADD | Kinds::NODE_LABEL
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        let Some(node) = event.node else { return Hint::Queue };
        let mut info = NodeInfo::new(node.metadata.name.clone().unwrap_or_default());
        info.node = Some(std::sync::Arc::new(node.clone()));
        Hint::queue_if(matches(pod, &info))
    }
}

impl PreFilter for NodeAffinity {
    fn pre_filter(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot) -> Result<PreFiltered, Rejection> {
        let selector = pod.spec().and_then(|spec| spec.node_selector.as_ref());
        let Some(terms) = required(pod) else {
            let none = selector.is_none_or(|selector| selector.is_empty());
            return Ok(if none { PreFiltered::Skip } else { PreFiltered::AllNodes });
        };
        Ok(named_nodes(terms).map_or(PreFiltered::AllNodes, PreFiltered::Nodes))
    }
}

impl Filter for NodeAffinity {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if matches(pod, node) { Ok(()) } else { Err(Rejection::unresolvable(NAME, REASON)) }
    }
}

impl PreScore for NodeAffinity {
    fn pre_score(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot, _: &[usize]) -> PreScored {
        let preferred = affinity(pod)
            .and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
        if preferred.is_none_or(Vec::is_empty) { PreScored::Skip } else { PreScored::Run }
    }
}

impl Score for NodeAffinity {
    fn score(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo, _: &Snapshot) -> i64 {
        let preferred = affinity(pod)
            .and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_deref());
        let terms = preferred.unwrap_or_default().iter();
        terms
            .filter(|term| labels::term_selects(&term.preference, node))
            .map(|term| i64::from(term.weight))
            .sum()
    }

    fn normalize(&self, _: &CycleState, scores: &mut [i64]) {
        normalize::highest_is_best(scores);
    }
}

fn affinity(pod: &PodInfo) -> Option<&Affinity> {
    pod.affinity()?.node_affinity.as_ref()
}

fn required(pod: &PodInfo) -> Option<&[NodeSelectorTerm]> {
    let required = affinity(pod)?.required_during_scheduling_ignored_during_execution.as_ref()?;
    Some(&required.node_selector_terms)
}

/// Whether the pod's own wishes allow the node.
pub(super) fn matches(pod: &PodInfo, node: &NodeInfo) -> bool {
    let selector = pod.spec().and_then(|spec| spec.node_selector.as_ref());
    selector.into_iter().flatten().all(|(key, value)| node.label(key) == Some(value))
        && required(pod).is_none_or(|terms| terms.iter().any(|term| labels::term_selects(term, node)))
}

/// The nodes that the terms name, if each term names one: then no other need be looked at.
fn named_nodes(terms: &[NodeSelectorTerm]) -> Option<HashSet<String>> {
    let mut names = HashSet::new();
    for term in terms {
        let fields = term.match_fields.iter().flatten();
        let mut named = fields.filter(|field| field.key == "metadata.name" && field.operator == "In");
        names.extend(named.next()?.values.iter().flatten().cloned());
    }
    Some(names)
}
