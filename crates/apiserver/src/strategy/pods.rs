//! Pods: born pending, bound once, ended gracefully.
//!
//! Upstream: pkg/registry/core/pod/strategy.go.

use serde_json::{Value, json};

use super::{Strategy, Writer};
use crate::object;

pub(super) struct Pods;

const DEFAULT_GRACE_SECONDS: i64 = 30;

impl Strategy for Pods {
    fn resource(&self) -> (&'static str, &'static str) {
        ("", "pods")
    }

    fn prepare_create(&self, pod: &mut Value, _writer: Writer<'_>) {
        let mut status = json!({"phase": "Pending", "qosClass": qos_class(pod)});
        let gated = pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
        if gated {
            status["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
        pod["status"] = status;
        merge_label_keys(pod);
    }

    fn prepare_status(&self, pod: &mut Value, old: &Value) {
        // The class follows from the spec; whoever reports status does not decide it.
        if !old["status"]["qosClass"].is_null() {
            pod["status"]["qosClass"] = old["status"]["qosClass"].clone();
        }
        object::carry_over(&mut pod["metadata"], &old["metadata"], &["ownerReferences"]);
    }

    fn prepare_subresource(&self, subresource: &str, pod: &mut Value, old: &Value) -> bool {
        let asked = std::mem::replace(pod, old.clone());
        match subresource {
            "ephemeralcontainers" => {
                pod["spec"]["ephemeralContainers"] = asked["spec"]["ephemeralContainers"].clone();
            }
            "resize" => {
                for list in ["containers", "initContainers"] {
                    take_resources(&mut pod["spec"][list], &asked["spec"][list]);
                }
            }
            _ => return false,
        }
        object::prune_null(&mut pod["spec"]);
        pod["metadata"]["managedFields"] = asked["metadata"]["managedFields"].clone();
        object::prune_null(&mut pod["metadata"]);
        true
    }

    fn grace_seconds(&self, pod: &Value, asked: Option<i64>) -> Option<i64> {
        let unscheduled = pod["spec"]["nodeName"].as_str().unwrap_or("").is_empty();
        let finished = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        if unscheduled || finished {
            return Some(0);
        }
        let own = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
        let seconds = asked.or(own).unwrap_or(DEFAULT_GRACE_SECONDS);
        // A negative period in an old object means "at once, but let the kubelet do it".
        Some(if seconds < 0 { 1 } else { seconds })
    }
}

/// Puts what matchLabelKeys and mismatchLabelKeys ask for into the selectors, by the pod's labels as they are now.
///
/// Upstream: `applyMatchLabelKeysAndMismatchLabelKeys`, and its like for spread constraints.
fn merge_label_keys(pod: &mut Value) {
    let labels = pod.pointer("/metadata/labels").cloned().unwrap_or_default();
    for constraint in items(pod.pointer_mut("/spec/topologySpreadConstraints")) {
        merge_keys(constraint, &labels);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = pod.pointer_mut(&format!("/spec/affinity/{kind}")) else { continue };
        for term in items(affinity.get_mut("requiredDuringSchedulingIgnoredDuringExecution")) {
            merge_keys(term, &labels);
        }
        for weighted in items(affinity.get_mut("preferredDuringSchedulingIgnoredDuringExecution")) {
            merge_keys(&mut weighted["podAffinityTerm"], &labels);
        }
    }
}

fn items(list: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

fn merge_keys(term: &mut Value, labels: &Value) {
    if !term.get("labelSelector").is_some_and(Value::is_object) {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        // Neither list has to be there.
        let keys = term.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        for key in keys.iter().filter_map(Value::as_str).filter(|key| labels.get(*key).is_some()) {
            let expressions = &mut term["labelSelector"]["matchExpressions"];
            if expressions.is_null() {
                *expressions = json!([]);
            }
            if let Some(expressions) = expressions.as_array_mut() {
                expressions.push(json!({"key": key, "operator": operator, "values": [labels[key]]}));
            }
        }
    }
}

fn take_resources(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_array_mut(), from.as_array()) else { return };
    for (container, asked) in into.iter_mut().zip(from) {
        for field in ["resources", "resizePolicy"] {
            if !asked[field].is_null() {
                container[field] = asked[field].clone();
            }
        }
    }
}

/// Guaranteed when every container limits cpu and memory to what it requests, BestEffort when none asks for either.
///
/// Upstream: pkg/apis/core/helper/qos.
fn qos_class(pod: &Value) -> &'static str {
    let spec = &pod["spec"];
    if let Some(resources) = spec.get("resources").filter(|r| has_compute(r)) {
        return if is_guaranteed(resources) { "Guaranteed" } else { "Burstable" };
    }
    let containers: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .filter_map(|list| spec[*list].as_array())
        .flatten()
        .map(|container| &container["resources"])
        .collect();
    if containers.iter().all(|resources| !has_compute(resources)) {
        "BestEffort"
    } else if containers.iter().all(|resources| is_guaranteed(resources)) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn amount<'a>(resources: &'a Value, kind: &str, name: &str) -> Option<&'a Value> {
    resources[kind].get(name).filter(|amount| !is_zero(amount))
}

fn is_zero(amount: &Value) -> bool {
    amount.as_str().is_none_or(|text| text.trim_start_matches('0').is_empty())
}

fn has_compute(resources: &Value) -> bool {
    ["cpu", "memory"]
        .iter()
        .any(|name| ["requests", "limits"].iter().any(|kind| amount(resources, kind, name).is_some()))
}

fn is_guaranteed(resources: &Value) -> bool {
    ["cpu", "memory"].iter().all(|name| {
        let limit = amount(resources, "limits", name);
        limit.is_some() && amount(resources, "requests", name).is_none_or(|request| Some(request) == limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_service() {
        let cases = [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}),
                "Guaranteed",
            ),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}), "Burstable"),
        ];
        for (resources, class) in cases {
            let pod = json!({"spec": {"containers": [{"resources": resources}]}});
            assert_eq!(qos_class(&pod), class, "{pod}");
        }
    }

    #[test]
    fn label_keys_end_in_selectors() {
        let term =
            json!({"labelSelector": {}, "matchLabelKeys": ["app", "absent"], "mismatchLabelKeys": ["team"]});
        let mut pod = json!({"metadata": {"labels": {"app": "a", "team": "t"}}, "spec": {"affinity": {"podAffinity":
            {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": term}]}}}});
        merge_label_keys(&mut pod);
        let list = &pod["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        let expected = json!([{"key": "app", "operator": "In", "values": ["a"]},
            {"key": "team", "operator": "NotIn", "values": ["t"]}]);
        assert_eq!(list[0]["podAffinityTerm"]["labelSelector"]["matchExpressions"], expected);
    }

    #[test]
    fn grace_is_the_clients_then_the_pods() {
        let running = json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 5}});
        assert_eq!(Pods.grace_seconds(&running, None), Some(5));
        assert_eq!(Pods.grace_seconds(&running, Some(0)), Some(0));
        assert_eq!(Pods.grace_seconds(&json!({"spec": {}}), Some(9)), Some(0));
    }
}
