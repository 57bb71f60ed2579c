//! Whether a quota counts an object: by the names that it bounds, and by its scopes.

use serde_json::Value;

use super::pods::total;
use super::usage;
use crate::access::Access;

/// Whether `quota` bounds something that `object` takes, and all its scopes fit.
pub fn matches(quota: &Value, group: &str, resource: &str, object: &Value) -> bool {
    let hard = quota.map("spec.hard");
    let takes = usage(group, resource, object);
    // A pod that asks for nothing is still counted by quotas of cpu: they make it ask.
    let is_pod = (group, resource) == ("", "pods");
    let bounds = |name: &String| takes.contains_key(name) || (is_pod && is_compute(name));
    hard.keys().any(bounds) && scopes(quota).all(|scope| fits(&scope, group, resource, object))
}

fn is_compute(name: &str) -> bool {
    let bare = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    matches!(bare, "cpu" | "memory" | "ephemeral-storage")
}

struct Scope<'a> {
    name: &'a str,
    operator: &'a str,
    values: &'a [Value],
}

fn scopes(quota: &Value) -> impl Iterator<Item = Scope<'_>> {
    let plain = quota.items("spec.scopes").iter().filter_map(Value::as_str);
    let plain = plain.map(|name| Scope { name, operator: "Exists", values: &[] });
    plain.chain(quota.items("spec.scopeSelector.matchExpressions").iter().map(|term| Scope {
        name: term.text("scopeName"),
        operator: term.text("operator"),
        values: term.items("values"),
    }))
}

fn fits(scope: &Scope<'_>, group: &str, resource: &str, object: &Value) -> bool {
    match (group, resource) {
        ("", "pods") => fits_pod(scope, object),
        ("", "persistentvolumeclaims") if scope.name == "VolumeAttributesClass" => {
            fits_text(scope, object.text("spec.volumeAttributesClassName"))
        }
        _ => false,
    }
}

fn fits_pod(scope: &Scope<'_>, pod: &Value) -> bool {
    match scope.name {
        "Terminating" => is_bounded(pod),
        "NotTerminating" => !is_bounded(pod),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => fits_text(scope, pod.text("spec.priorityClassName")),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn is_bounded(pod: &Value) -> bool {
    pod.int_at("spec.activeDeadlineSeconds").is_some_and(|seconds| seconds >= 0)
}

fn is_best_effort(pod: &Value) -> bool {
    let asks = |part: &str| {
        total(pod, part).iter().any(|(name, amount)| matches!(&**name, "cpu" | "memory") && !amount.is_zero())
    };
    !asks("requests") && !asks("limits")
}

fn fits_text(scope: &Scope<'_>, text: &str) -> bool {
    let among = scope.values.iter().any(|value| value.as_str() == Some(text));
    match scope.operator {
        "In" => among,
        "NotIn" => !among,
        "DoesNotExist" => text.is_empty(),
        _ => !text.is_empty(),
    }
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses =
        |term: &Value| !term.items("namespaces").is_empty() || term.at("namespaceSelector").is_some();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let at = |list: &str| pod.items(&format!("spec.affinity.{kind}.{list}"));
        at("requiredDuringSchedulingIgnoredDuringExecution").iter().any(crosses)
            || at("preferredDuringSchedulingIgnoredDuringExecution")
                .iter()
                .any(|weighted| weighted.get("podAffinityTerm").is_some_and(crosses))
    })
}
