//! Node selectors and tolerations.
//!
//! Upstream: component-helpers/scheduling/corev1.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};

use crate::node_info::NodeInfo;

/// Whether a node satisfies a term; an empty term picks no node.
pub(crate) fn term_selects(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|requirement| node_holds(requirement, node.label(&requirement.key)))
        && fields.iter().all(|requirement| {
            requirement.key == "metadata.name" && node_holds(requirement, Some(&node.name))
        })
}

fn node_holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    holds(&requirement.operator, requirement.values.as_deref().unwrap_or_default(), value)
}

fn holds(operator: &str, values: &[String], value: Option<&str>) -> bool {
    let listed = |value: &str| values.iter().any(|wanted| wanted == value);
    match operator {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(values, value).is_some_and(|(value, bound)| value > bound),
        "Lt" => compare(values, value).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

/// What is no whole number compares with nothing.
fn compare(values: &[String], value: Option<&str>) -> Option<(i64, i64)> {
    let [bound] = values else { return None };
    Some((value?.parse().ok()?, bound.parse().ok()?))
}

pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    let key = toleration.key.as_deref().unwrap_or_default();
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => {
            toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
        "Exists" => true,
        _ => false,
    }
}

/// The first taint that asks pods to stay away and is not tolerated.
pub(crate) fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}
