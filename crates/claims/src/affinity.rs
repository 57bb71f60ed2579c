//! On which nodes a volume can be reached.
//!
//! Upstream: component-helpers/storage/volume, `CheckNodeAffinity`; component-helpers/scheduling/corev1/nodeaffinity.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, TopologySelectorTerm,
};

/// What is known of a node.
#[derive(Clone, Copy)]
pub struct NodeLabels<'a> {
    pub name: &'a str,
    pub labels: Option<&'a BTreeMap<String, String>>,
}

impl<'a> NodeLabels<'a> {
    fn get(self, key: &str) -> Option<&'a str> {
        self.labels?.get(key).map(String::as_str)
    }
}

/// Whether the volume can be used on the node.
pub fn admits(volume: &PersistentVolume, node: NodeLabels<'_>) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
    let Some(required) = affinity.and_then(|affinity| affinity.required.as_ref()) else { return true };
    required.node_selector_terms.iter().any(|term| term_selects(term, node))
}

fn term_selects(term: &NodeSelectorTerm, node: NodeLabels<'_>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // An empty term selects nothing.
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|requirement| holds(requirement, node.get(&requirement.key)))
        && fields.iter().all(|field| field.key == "metadata.name" && holds(field, Some(node.name)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|wanted| wanted == value);
    // What is no whole number compares with nothing.
    let compared = |holds: fn(i64, i64) -> bool| {
        let bound = values.first().and_then(|bound| bound.parse().ok());
        let value = value.and_then(|value| value.parse().ok());
        value.zip(bound).is_some_and(|(value, bound)| holds(value, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|value, bound| value > bound),
        "Lt" => compared(|value, bound| value < bound),
        _ => false,
    }
}

/// Whether a class's allowed topologies let volumes be made for the node; without any, everywhere.
pub fn selects(topologies: &[TopologySelectorTerm], node: NodeLabels<'_>) -> bool {
    topologies.is_empty()
        || topologies.iter().any(|term| {
            let mut all = term.match_label_expressions.iter().flatten();
            all.all(|wanted| {
                node.get(&wanted.key).is_some_and(|value| wanted.values.iter().any(|v| v == value))
            })
        })
}
