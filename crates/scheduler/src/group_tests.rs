//! Spreading, nearness and budgets, through whole decisions.

use std::sync::Arc;

use client::Store;
use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};
use stdx::Random;

use crate::cache::Cache;
use crate::config::Profile;
use crate::cycle::{self, Cycle, Failure};
use crate::framework::CycleState;
use crate::nominator::Nominator;
use crate::pod_info::PodInfo;
use crate::testing::{node_from, pod_from, pod_value};
use crate::{Sources, plugins};

/// A node in a zone; the hostname is its name.
fn node(name: &str, zone: &str) -> Arc<Node> {
    let mut labels = json!({"kubernetes.io/hostname": name});
    if !zone.is_empty() {
        labels["zone"] = json!(zone);
    }
    node_from(json!({"metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}}}))
}

/// A pod labeled `app`, with more in its spec; on a node unless that is empty.
fn pod(name: &str, app: &str, node: &str, spec: Value) -> Arc<PodInfo> {
    let mut value = pod_value(name, "");
    value["metadata"]["labels"] = json!({"app": app});
    for (key, part) in spec.as_object().expect("an object") {
        value["spec"][key] = part.clone();
    }
    if !node.is_empty() {
        value["spec"]["nodeName"] = json!(node);
    }
    pod_from(value)
}

fn plain(name: &str, app: &str, node: &str) -> Arc<PodInfo> {
    pod(name, app, node, json!({}))
}

fn cluster(nodes: &[Arc<Node>], pods: &[Arc<PodInfo>]) -> Cache {
    let mut cache = Cache::default();
    // What was asked before a pod or a node came must be right afterwards too.
    let _ = cache.snapshot().topology("zone");
    for node in nodes {
        cache.set_node(node.clone());
    }
    for pod in pods {
        cache.set_pod(pod.clone());
    }
    cache
}

/// Which nodes fit, or why none does.
fn fits(cache: &Cache, pod: &PodInfo, sources: &Sources) -> String {
    let framework = plugins::framework(&Profile::default(), None, sources);
    let mut names = Vec::new();
    let mut random = 0;
    // Each seed breaks ties another way.
    while random < 40 {
        random += 1;
        let mut cycle = Cycle::new(Random::seeded(random), None);
        match cycle.schedule(&framework, pod, cache.snapshot(), &Nominator::default()) {
            Ok(chosen) => names.push(chosen.node),
            Err(Failure::NoNodes) => return "no nodes".to_owned(),
            Err(Failure::Plugin(rejection)) => return rejection.message(),
            Err(Failure::Unfit { error, preemption }) => {
                let victims = preemption.map(|found| {
                    let names: Vec<_> = found.victims.iter().map(|victim| victim.uid.as_str()).collect();
                    format!(" Victims on {}: {}", found.node, names.join(", "))
                });
                return format!("{error}{}", victims.unwrap_or_default());
            }
        }
    }
    names.sort();
    names.dedup();
    names.join(", ")
}

#[track_caller]
fn check(nodes: &[Arc<Node>], pods: &[Arc<PodInfo>], pod: Arc<PodInfo>, expected: Expect) {
    expected.assert_eq(&fits(&cluster(nodes, pods), &pod, &Sources::none()));
}

fn spread(more: Value) -> Value {
    let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "a"}}});
    for (key, part) in more.as_object().expect("an object") {
        constraint[key] = part.clone();
    }
    json!({"topologySpreadConstraints": [constraint]})
}

fn zones() -> Vec<Arc<Node>> {
    vec![node("a1", "a"), node("a2", "a"), node("b1", "b")]
}

#[test]
fn a_group_spreads_over_zones() {
    let pods = [plain("1", "a", "a1"), plain("2", "other", "b1")];
    check(&zones(), &pods, pod("p", "a", "", spread(json!({}))), expect!["b1"]);
    // A pod that does not count itself may stand anywhere within the skew.
    let mut nodes = zones();
    nodes.push(node("none", ""));
    check(&nodes, &pods, pod("p", "a", "", spread(json!({}))), expect!["b1"]);
    check(
        &[node("none", "")],
        &[],
        pod("p", "a", "", spread(json!({}))),
        expect![
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label). no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        ],
    );
    check(
        &[node("a1", "a")],
        &[plain("1", "a", "a1")],
        pod("p", "a", "", spread(json!({"minDomains": 2}))),
        expect![
            "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn node_policies_decide_which_domains_count() {
    let mut tainted = serde_json::to_value(&*node("c1", "c")).expect("a node");
    tainted["spec"] = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
    let nodes = [node("a1", "a"), node_from(tainted)];
    let pods = [plain("1", "a", "a1")];
    // The empty zone c counts although the pod cannot go there.
    check(
        &nodes,
        &pods,
        pod("p", "a", "", spread(json!({}))),
        expect![
            "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
        ],
    );
    check(&nodes, &pods, pod("p", "a", "", spread(json!({"nodeTaintsPolicy": "Honor"}))), expect!["a1"]);
    let with_selector = |policy: &str| {
        let mut spec = spread(json!({"nodeAffinityPolicy": policy}));
        spec["nodeSelector"] = json!({"zone": "a"});
        pod("p", "a", "", spec)
    };
    check(&zones(), &pods, with_selector("Honor"), expect!["a2"]);
    check(
        &zones(),
        &pods,
        with_selector("Ignore"),
        expect![
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't match pod topology spread constraints. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn match_label_keys_and_soft_constraints() {
    let keyed = spread(json!({"labelSelector": {}, "matchLabelKeys": ["app"]}));
    let pods = [plain("1", "a", "a1"), plain("2", "b", "b1"), plain("3", "b", "b1")];
    check(&zones(), &pods, pod("p", "a", "", keyed), expect!["b1"]);
    let soft = spread(json!({"whenUnsatisfiable": "ScheduleAnyway"}));
    check(&zones(), &[plain("1", "a", "a1")], pod("p", "a", "", soft), expect!["b1"]);
}

#[test]
fn services_spread_without_being_asked() {
    let mut sources = Sources::none();
    let service =
        json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "a"}}});
    sources.services = Store::fixed([serde_json::from_value(service).expect("a service")]);
    let cache = cluster(&zones(), &[plain("1", "a", "a1"), plain("2", "x", "a2"), plain("3", "x", "b1")]);
    expect!["a2, b1"].assert_eq(&fits(&cache, &plain("p", "a", ""), &sources));
    let framework = plugins::framework(&Profile::default(), None, &sources);
    let totals = cycle::totals(
        &framework,
        &mut CycleState::default(),
        &plain("p", "a", ""),
        cache.snapshot(),
        &[0, 1, 2],
    );
    expect!["[496, 596, 596]"].assert_eq(&format!("{totals:?}"));
}

fn affinity(kind: &str, app: &str, key: &str) -> Value {
    let term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}});
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
}

#[test]
fn pods_want_to_be_near_or_away() {
    let pods = [plain("1", "db", "b1")];
    check(&zones(), &pods, pod("p", "a", "", affinity("podAffinity", "db", "zone")), expect!["b1"]);
    check(&zones(), &pods, pod("p", "a", "", affinity("podAntiAffinity", "db", "zone")), expect!["a1, a2"]);
    check(
        &zones(),
        &[],
        pod("p", "a", "", affinity("podAffinity", "db", "zone")),
        expect![
            "0/3 nodes are available: 3 node(s) didn't match pod affinity rules. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        ],
    );
    // The first of a group has nobody to be near to.
    check(&zones(), &[], pod("p", "a", "", affinity("podAffinity", "a", "zone")), expect!["a1, a2, b1"]);
    check(
        &[node("a1", "a")],
        &[plain("1", "db", "a1")],
        pod("p", "a", "", affinity("podAntiAffinity", "db", "zone")),
        expect![
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn pods_that_run_keep_others_away_and_draw_them() {
    let keeper = pod("1", "db", "a1", affinity("podAntiAffinity", "a", "zone"));
    check(&zones(), std::slice::from_ref(&keeper), plain("p", "a", ""), expect!["b1"]);
    check(
        &[node("a1", "a")],
        &[keeper],
        plain("p", "a", ""),
        expect![
            "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
    let needs = pod("1", "db", "b1", affinity("podAffinity", "a", "zone"));
    check(
        &zones(),
        &[needs, plain("2", "x", "a1"), plain("3", "x", "a2")],
        plain("p", "a", ""),
        expect!["b1"],
    );
}

#[test]
fn namespaces_are_picked_by_label() {
    let term = json!({"topologyKey": "zone", "labelSelector": {}, "namespaceSelector": {"matchLabels": {"team": "x"}}});
    let spec =
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    let mut cache = cluster(&zones(), &[plain("1", "db", "b1")]);
    let incoming = pod("p", "a", "", spec);
    assert!(fits(&cache, &incoming, &Sources::none()).contains("didn't match pod affinity rules"));
    let labels = [("team".to_owned(), "x".to_owned())].into();
    cache.snapshot_mut().namespaces.insert("default".to_owned(), labels);
    expect!["b1"].assert_eq(&fits(&cache, &incoming, &Sources::none()));
}

#[test]
fn preferences_are_weighed() {
    let wish = |kind: &str| {
        let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}});
        json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 10, "podAffinityTerm": term}]}}})
    };
    let pods = [plain("1", "db", "b1"), plain("2", "x", "a1"), plain("3", "x", "a2")];
    check(&zones(), &pods, pod("p", "a", "", wish("podAffinity")), expect!["b1"]);
    check(&zones(), &pods, pod("p", "a", "", wish("podAntiAffinity")), expect!["a1, a2"]);
}

fn full(name: &str, app: &str, node: &str, priority: i32) -> Arc<PodInfo> {
    let mut value = pod_value(name, "4");
    value["metadata"]["labels"] = json!({"app": app});
    value["spec"]["nodeName"] = json!(node);
    value["spec"]["priority"] = json!(priority);
    pod_from(value)
}

#[test]
fn budgets_are_kept_where_another_node_will_do() {
    let nodes = [node("a", ""), node("b", "")];
    let pods = [full("cheap", "kept", "a", 1), full("dear", "free", "b", 5)];
    let mut sources = Sources::none();
    let mut value = pod_value("p", "4");
    value["spec"]["priority"] = json!(10);
    let important = pod_from(value);
    let cache = cluster(&nodes, &pods);
    expect!["0/2 nodes are available: 2 Insufficient cpu. Victims on a: cheap"]
        .assert_eq(&fits(&cache, &important, &sources));
    let budget = json!({"metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "kept"}}}, "status": {"disruptionsAllowed": 0,
        "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
    sources.budgets = Store::fixed([serde_json::from_value(budget).expect("a budget")]);
    expect!["0/2 nodes are available: 2 Insufficient cpu. Victims on b: dear"]
        .assert_eq(&fits(&cache, &important, &sources));
}

#[test]
fn a_victim_may_be_what_kept_the_pod_away() {
    let mut keeper = pod_value("keeper", "");
    keeper["metadata"]["labels"] = json!({"app": "db"});
    keeper["spec"]["nodeName"] = json!("a1");
    let mut value = pod_value("p", "");
    value["spec"]["priority"] = json!(10);
    value["spec"]["affinity"] = affinity("podAntiAffinity", "db", "zone")["affinity"].clone();
    check(
        &[node("a1", "a")],
        &[pod_from(keeper)],
        pod_from(value),
        expect![
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. Victims on a1: keeper"
        ],
    );
}
