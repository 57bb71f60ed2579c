//! The filters, plainly.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorTerm, Pod, PodAffinityTerm, PodSpec, Taint, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Answer, View};

pub(super) fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().expect("has one")
}

fn no(reason: &str) -> Answer {
    Some(reason.to_owned())
}

fn never(reason: &str) -> Answer {
    Some(format!("{reason} (for good)"))
}

pub(super) fn label<'a>(labels: &'a Option<BTreeMap<String, String>>, key: &str) -> Option<&'a String> {
    labels.as_ref()?.get(key)
}

pub(super) fn is_on(pod: &Pod, node: &Node) -> bool {
    spec(pod).node_name == node.metadata.name
}

fn requirement(value: Option<&String>, operator: &str, values: &[String]) -> bool {
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => !value.is_some_and(|value| values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        other => panic!("no such operator: {other}"),
    }
}

pub(super) fn selects(selector: Option<&LabelSelector>, labels: &Option<BTreeMap<String, String>>) -> bool {
    let Some(selector) = selector else { return false };
    let none = vec![];
    selector.match_labels.iter().flatten().all(|(key, value)| label(labels, key) == Some(value))
        && selector.match_expressions.iter().flatten().all(|one| {
            requirement(label(labels, &one.key), &one.operator, one.values.as_ref().unwrap_or(&none))
        })
}

pub(super) fn term_selects(term: &NodeSelectorTerm, node: &Node) -> bool {
    term.match_expressions.iter().flatten().all(|one| {
        let values = one.values.clone().unwrap_or_default();
        requirement(label(&node.metadata.labels, &one.key), &one.operator, &values)
    })
}

pub(super) fn unschedulable(_: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    let cordoned = node.spec.as_ref().expect("has one").unschedulable == Some(true);
    let key = "node.kubernetes.io/unschedulable".to_owned();
    let taint = Taint { key, effect: "NoSchedule".to_owned(), ..Taint::default() };
    if cordoned && !tolerated(pod, &taint) { never("node(s) were unschedulable") } else { None }
}

pub(super) fn node_name(_: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    let named = spec(pod).node_name.as_ref().filter(|name| !name.is_empty());
    match named {
        Some(name) if Some(name) != node.metadata.name.as_ref() => {
            never("node(s) didn't match the requested node name")
        }
        _ => None,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let given = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    given(&toleration.effect).is_none_or(|effect| effect == taint.effect)
        && given(&toleration.key).is_none_or(|key| key == taint.key)
        && (toleration.operator.as_deref() == Some("Exists")
            || given(&toleration.value) == given(&taint.value))
}

fn tolerated(pod: &Pod, taint: &Taint) -> bool {
    spec(pod).tolerations.iter().flatten().any(|toleration| tolerates(toleration, taint))
}

fn repelled(pod: &Pod, node: &Node) -> bool {
    let taints = node.spec.as_ref().expect("has one").taints.iter().flatten();
    taints
        .filter(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute")
        .any(|taint| !tolerated(pod, taint))
}

pub(super) fn taints(_: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    if repelled(pod, node) { never("node(s) had untolerated taint(s)") } else { None }
}

fn wants(pod: &Pod, node: &Node) -> bool {
    let selected = spec(pod).node_selector.iter().flatten();
    let affinity = spec(pod).affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected.into_iter().all(|(key, value)| label(&node.metadata.labels, key) == Some(value))
        && required
            .is_none_or(|required| required.node_selector_terms.iter().any(|term| term_selects(term, node)))
}

pub(super) fn node_affinity(_: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    if wants(pod, node) { None } else { never("node(s) didn't match Pod's node affinity/selector") }
}

/// Address, protocol, port.
fn host_ports(pod: &Pod) -> Vec<(String, String, i32)> {
    let ports = spec(pod).containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports
        .map(|port| {
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or("0.0.0.0".to_owned());
            (ip, port.protocol.clone().expect("given"), port.host_port.expect("given"))
        })
        .collect()
}

pub(super) fn ports(view: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    let here = view.pods.iter().filter(|other| is_on(other, node)).flat_map(|other| host_ports(other));
    let used: Vec<_> = here.collect();
    let taken = host_ports(pod).iter().any(|(ip, protocol, port)| {
        used.iter().any(|(other, p, n)| {
            protocol == p && port == n && (ip == other || ip == "0.0.0.0" || other == "0.0.0.0")
        })
    });
    if taken { no("node(s) didn't have free ports for the requested pod ports") } else { None }
}

/// Thousandths for cpu, whole units for the rest.
pub(super) fn asks(pod: &Pod, resource: &str) -> i64 {
    let resources = spec(pod).containers[0].resources.as_ref().expect("given");
    let quantity: api::Quantity =
        resources.requests.as_ref().expect("given")[resource].0.parse().expect("one");
    if resource == "cpu" { quantity.milli_value() } else { quantity.value() }
}

pub(super) fn offers(node: &Node, resource: &str) -> i64 {
    let list = node.status.as_ref().expect("has one").allocatable.as_ref().expect("has one");
    let quantity: api::Quantity = list[resource].0.parse().expect("one");
    if resource == "cpu" { quantity.milli_value() } else { quantity.value() }
}

pub(super) fn fit(view: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    let here: Vec<_> = view.pods.iter().filter(|other| is_on(other, node)).collect();
    let mut reasons = vec![];
    let mut for_good = false;
    if here.len() as i64 + 1 > offers(node, "pods") {
        reasons.push("Too many pods".to_owned());
    }
    for resource in ["cpu", "memory"] {
        let used: i64 = here.iter().map(|other| asks(other, resource)).sum();
        let asked = asks(pod, resource);
        if asked > 0 && used + asked > offers(node, resource) {
            reasons.push(format!("Insufficient {resource}"));
            for_good |= asked > offers(node, resource);
        }
    }
    let all = reasons.join(", ");
    match (reasons.is_empty(), for_good) {
        (true, _) => None,
        (false, true) => never(&all),
        (false, false) => no(&all),
    }
}

pub(super) fn constraints<'a>(pod: &'a Pod, action: &str) -> Vec<&'a TopologySpreadConstraint> {
    let all = spec(pod).topology_spread_constraints.iter().flatten();
    all.filter(|constraint| constraint.when_unsatisfiable == action).collect()
}

/// Whether the node's domain counts for the pod.
pub(super) fn counts(constraint: &TopologySpreadConstraint, pod: &Pod, node: &Node) -> bool {
    let honors_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
    let honors_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    (!honors_affinity || wants(pod, node)) && (!honors_taints || !repelled(pod, node))
}

/// Whether the constraint of `pod` is about `other`.
fn is_of_group(constraint: &TopologySpreadConstraint, pod: &Pod, other: &Pod) -> bool {
    let labels = &other.metadata.labels;
    let same = constraint.match_label_keys.iter().flatten().all(|key| {
        let own = label(&pod.metadata.labels, key);
        own.is_none() || own == label(labels, key)
    });
    same && selects(constraint.label_selector.as_ref(), labels)
}

/// The pods of the group on a node.
pub(super) fn group_on(
    view: &View<'_>,
    constraint: &TopologySpreadConstraint,
    pod: &Pod,
    node: &Node,
) -> i64 {
    let here = view.pods.iter().filter(|other| {
        is_on(other, node)
            && other.metadata.namespace == pod.metadata.namespace
            && other.metadata.deletion_timestamp.is_none()
            && is_of_group(constraint, pod, other)
    });
    here.count() as i64
}

pub(super) fn has_keys(constraints: &[&TopologySpreadConstraint], node: &Node) -> bool {
    constraints.iter().all(|constraint| label(&node.metadata.labels, &constraint.topology_key).is_some())
}

pub(super) fn spread(view: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    let constraints = constraints(pod, "DoNotSchedule");
    for constraint in &constraints {
        let Some(own) = label(&node.metadata.labels, &constraint.topology_key) else {
            return never("node(s) didn't match pod topology spread constraints (missing required label)");
        };
        let mut domains: BTreeMap<&String, i64> = BTreeMap::new();
        for other in view.nodes {
            if has_keys(&constraints, other) && counts(constraint, pod, other) {
                let domain = label(&other.metadata.labels, &constraint.topology_key).expect("has it");
                *domains.entry(domain).or_default() += group_on(view, constraint, pod, other);
            }
        }
        let enough = domains.len() as i64 >= i64::from(constraint.min_domains.unwrap_or(1));
        let fewest = if enough { domains.values().copied().min().unwrap_or(i64::MAX / 2) } else { 0 };
        let here = domains.get(own).copied().unwrap_or(0);
        let itself = i64::from(is_of_group(constraint, pod, pod));
        if here + itself - fewest > i64::from(constraint.max_skew) {
            return no("node(s) didn't match pod topology spread constraints");
        }
    }
    None
}

/// Whether a term of `owner` is about `other`.
pub(super) fn is_about(view: &View<'_>, owner: &Pod, term: &PodAffinityTerm, other: &Pod) -> bool {
    let namespace = other.metadata.namespace.clone().expect("has one");
    let labels = view.namespaces.iter().find(|(name, _)| *name == namespace).expect("known").1.clone();
    let listed: Vec<String> = term.namespaces.clone().unwrap_or_default();
    let by_default = listed.is_empty() && term.namespace_selector.is_none();
    let right_namespace = listed.contains(&namespace)
        || selects(term.namespace_selector.as_ref(), &Some(labels.into_iter().collect()))
        || (by_default && owner.metadata.namespace == other.metadata.namespace);
    right_namespace && selects(term.label_selector.as_ref(), &other.metadata.labels)
}

/// Whether two nodes are in the same domain of the key.
pub(super) fn together(a: &Node, b: &Node, key: &str) -> bool {
    let domain = label(&a.metadata.labels, key);
    domain.is_some() && domain == label(&b.metadata.labels, key)
}

pub(super) fn node_of<'a>(view: &View<'a>, pod: &Pod) -> &'a Node {
    view.nodes.iter().find(|node| is_on(pod, node)).expect("known")
}

fn required(pod: &Pod, anti: &str) -> Vec<PodAffinityTerm> {
    let Some(affinity) = spec(pod).affinity.as_ref() else { return vec![] };
    let (near, away) = (affinity.pod_affinity.clone(), affinity.pod_anti_affinity.clone());
    let list = match anti {
        "" => near.and_then(|near| near.required_during_scheduling_ignored_during_execution),
        _ => away.and_then(|away| away.required_during_scheduling_ignored_during_execution),
    };
    list.unwrap_or_default()
}

pub(super) fn neighbors(view: &View<'_>, pod: &Pod, node: &Node) -> Answer {
    let near = required(pod, "");
    let all_about = |other: &Pod| near.iter().all(|term| is_about(view, pod, term, other));
    let group: Vec<_> = view.pods.iter().filter(|other| all_about(other)).collect();
    let has_key =
        |at: &Node, term: &PodAffinityTerm| label(&at.metadata.labels, &term.topology_key).is_some();
    let somewhere = group.iter().any(|other| near.iter().any(|term| has_key(node_of(view, other), term)));
    let first = !somewhere && all_about(pod);
    let satisfied = near.iter().all(|term| {
        has_key(node, term)
            && (first || group.iter().any(|other| together(node_of(view, other), node, &term.topology_key)))
    });
    if !near.is_empty() && !satisfied {
        return never("node(s) didn't match pod affinity rules");
    }
    let disturbs = required(pod, "anti").iter().any(|term| {
        view.pods.iter().any(|other| {
            is_about(view, pod, term, other) && together(node_of(view, other), node, &term.topology_key)
        })
    });
    if disturbs {
        return no("node(s) didn't match pod anti-affinity rules");
    }
    let is_kept_away = view.pods.iter().any(|other| {
        required(other, "anti").iter().any(|term| {
            is_about(view, other, term, pod) && together(node_of(view, other), node, &term.topology_key)
        })
    });
    if is_kept_away { no("node(s) didn't satisfy existing pods anti-affinity rules") } else { None }
}
