//! The pods of a DaemonSet: bound to their node by affinity, tolerant of what daemons are there for. Pure.
//!
//! Upstream: pkg/controller/daemon/util/daemonset_util.go.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration,
};

use crate::history::REVISION_LABEL;
use crate::owners;
use crate::pod_control::from_template;
use crate::pods;

const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";
const GENERATION_LABEL: &str = "pod-template-generation";
const NODE_FIELD: &str = "metadata.name";

const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// Daemons of the host's network are what makes it available.
const TOLERATED_BY_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The spec of the set's pods but for the node.
pub(super) fn pod_spec(spec: &DaemonSetSpec) -> PodSpec {
    let mut pod = spec.template.spec.clone().unwrap_or_default();
    let host = pod.host_network == Some(true);
    let tolerations = pod.tolerations.get_or_insert_default();
    for (key, effect) in TOLERATED.into_iter().chain(host.then_some(TOLERATED_BY_HOST_NETWORK)) {
        let known = |toleration: &Toleration| {
            toleration.key.as_deref() == Some(key)
                && toleration.effect.as_deref() == Some(effect)
                && toleration.operator.as_deref() == Some("Exists")
                && toleration.toleration_seconds.is_none()
        };
        if !tolerations.iter().any(known) {
            tolerations.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some(effect.to_owned()),
                ..Toleration::default()
            });
        }
    }
    pod
}

/// The pod for `node`.
pub(super) fn new_pod(set: &DaemonSet, spec: &DaemonSetSpec, hash: &str, node: &str) -> Pod {
    let mut pod = from_template(spec.template.clone());
    let name = set.metadata.name.as_deref().unwrap_or_default();
    pod.metadata.generate_name = Some(format!("{name}-"));
    pod.metadata.owner_references = Some(vec![owners::controller_ref(set)]);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), hash.to_owned());
    let generation = set.metadata.annotations.as_ref().and_then(|a| a.get(GENERATION_ANNOTATION));
    if let Some(generation) = generation {
        labels.insert(GENERATION_LABEL.to_owned(), generation.clone());
    }
    let mut pod_spec = pod_spec(spec);
    bind(&mut pod_spec, node);
    pod.spec = Some(pod_spec);
    pod
}

fn bind(pod: &mut PodSpec, node: &str) {
    let this = NodeSelectorRequirement {
        key: NODE_FIELD.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![this]), match_expressions: None };
    let affinity = pod.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node that a pod is on or meant for.
pub(super) fn node_of(pod: &Pod) -> Option<String> {
    if let Some(node) = pods::node_name(pod) {
        return Some(node.to_owned());
    }
    let affinity = pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let field =
        terms.iter().flat_map(|term| term.match_fields.iter().flatten()).find(|f| f.key == NODE_FIELD)?;
    field.values.as_ref()?.first().cloned()
}
