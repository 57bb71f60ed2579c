//! Whether a node is one of a DaemonSet's. Pure.
//!
//! Upstream: pkg/controller/daemon/daemon_controller.go, `NodeShouldRunDaemonPod`.

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint};

use crate::taint_eviction::tolerates;

/// What a node is to a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// A pod must run there.
    Runs,
    /// What runs there stays, and nothing new comes.
    Stays,
    Never,
}

/// `pod` is the spec that a daemon would have, with all its tolerations.
pub(super) fn fit(pod: &PodSpec, node: &Node) -> Fit {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let wants_other = pod.node_name.as_deref().is_some_and(|wanted| !wanted.is_empty() && wanted != name);
    if wants_other || !is_selected(pod, node) {
        return Fit::Never;
    }
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let refused = taints.filter(|taint| taint.effect != "PreferNoSchedule" && !is_tolerated(pod, taint));
    refused.fold(Fit::Runs, |fit, taint| match (fit, taint.effect.as_str()) {
        (Fit::Never, _) | (_, "NoExecute") => Fit::Never,
        _ => Fit::Stays,
    })
}

fn is_tolerated(pod: &PodSpec, taint: &Taint) -> bool {
    pod.tolerations.iter().flatten().any(|toleration| tolerates(toleration, taint))
}

fn is_selected(pod: &PodSpec, node: &Node) -> bool {
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let exact = pod.node_selector.iter().flatten().all(|(key, value)| label(key) == Some(value));
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    exact
        && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| selects(term, node)))
}

/// An empty term selects nothing.
fn selects(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (labels, fields) =
        (term.match_expressions.clone().unwrap_or_default(), term.match_fields.clone().unwrap_or_default());
    let label = |key: &str| node.metadata.labels.as_ref()?.get(key).map(String::as_str);
    let field = |key: &str| node.metadata.name.as_deref().filter(|_| key == "metadata.name");
    let holds =
        labels.iter().all(|r| meets(r, label(&r.key))) && fields.iter().all(|r| meets(r, field(&r.key)));
    holds && !(labels.is_empty() && fields.is_empty())
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = |value: &str| requirement.values.iter().flatten().any(|wanted| wanted == value);
    // What is no number compares with nothing, as upstream has it.
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || requirement.values.as_ref()?.first().and_then(|text| number(text));
    let ordered = |test: fn(&i64, &i64) -> bool| {
        value.and_then(number).zip(bound()).is_some_and(|(value, bound)| test(&value, &bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => ordered(i64::gt),
        "Lt" => ordered(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(pod: Value, taints: Value, expected: Fit) {
        let mut spec = json!({"containers": []});
        spec.as_object_mut().expect("a map").extend(pod.as_object().expect("a map").clone());
        let node = json!({"metadata": {"name": "n", "labels": {"disk": "ssd", "cores": "8"}}, "spec": {"taints": taints}});
        let (spec, node) =
            (serde_json::from_value(spec).expect("a spec"), serde_json::from_value(node).expect("a node"));
        assert_eq!(fit(&spec, &node), expected, "{pod}");
    }

    #[test]
    fn selectors_affinity_and_taints_decide() {
        let required = |term: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}});
        let expression = |operator: &str, values: &[&str]| {
            required(json!({"matchExpressions": [{"key": "cores", "operator": operator, "values": values}]}))
        };
        let taint = |effect: &str| json!([{"key": "a", "effect": effect}]);
        check(json!({}), json!([]), Fit::Runs);
        check(json!({"nodeSelector": {"disk": "ssd"}}), json!([]), Fit::Runs);
        check(json!({"nodeSelector": {"disk": "hdd"}}), json!([]), Fit::Never);
        check(json!({"nodeName": "other"}), json!([]), Fit::Never);
        check(expression("Gt", &["4"]), json!([]), Fit::Runs);
        check(expression("Lt", &["4"]), json!([]), Fit::Never);
        check(
            required(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]})),
            json!([]),
            Fit::Runs,
        );
        check(required(json!({})), json!([]), Fit::Never);
        check(json!({}), taint("NoSchedule"), Fit::Stays);
        check(json!({}), taint("NoExecute"), Fit::Never);
        check(json!({}), taint("PreferNoSchedule"), Fit::Runs);
        check(json!({"tolerations": [{"operator": "Exists"}]}), taint("NoExecute"), Fit::Runs);
    }
}
