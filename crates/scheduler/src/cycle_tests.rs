//! Filters, reasons, scores and preemption, through whole decisions.

use std::sync::Arc;

use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};
use stdx::Random;

use crate::cache::Cache;
use crate::config::{PluginArgs, Profile, ResourceWeight, ScoringStrategy};
use crate::cycle::{self, Cycle, Failure};
use crate::framework::CycleState;
use crate::nominator::Nominator;
use crate::pod_info::PodInfo;
use crate::testing::{node, node_from, pod, pod_on, pod_with};
use crate::{Resources, Sources, plugins};

fn cache(nodes: Vec<Arc<Node>>, pods: Vec<Arc<PodInfo>>) -> Cache {
    let mut cache = Cache::default();
    nodes.into_iter().for_each(|node| cache.set_node(node));
    for pod in pods {
        cache.set_pod(pod);
    }
    cache
}

fn decide(cache: &Cache, pod: &PodInfo, nominator: &Nominator) -> String {
    let framework = plugins::framework(&Profile::default(), None, &Sources::none());
    let mut cycle = Cycle::new(Random::seeded(1), None);
    match cycle.schedule(&framework, pod, cache.snapshot(), nominator) {
        Ok(chosen) => format!("goes to {}", chosen.node),
        Err(Failure::NoNodes) => "no nodes".to_owned(),
        Err(Failure::Plugin(rejection)) => rejection.message(),
        Err(Failure::Unfit { error, preemption: None }) => error.to_string(),
        Err(Failure::Unfit { error, preemption: Some(preemption) }) => {
            let victims: Vec<_> = preemption.victims.iter().map(|victim| victim.uid.as_str()).collect();
            format!("{error} Victims on {}: {}", preemption.node, victims.join(", "))
        }
    }
}

#[track_caller]
fn check(nodes: Vec<Arc<Node>>, pods: Vec<Arc<PodInfo>>, pod: Arc<PodInfo>, expected: Expect) {
    expected.assert_eq(&decide(&cache(nodes, pods), &pod, &Nominator::default()));
}

fn special(name: &str, meta: Value, spec: Value) -> Arc<Node> {
    let mut value = serde_json::to_value(&*node(name, "4")).expect("a node");
    value["metadata"]["labels"] = meta;
    value["spec"] = spec;
    node_from(value)
}

#[test]
fn says_why_nothing_fits() {
    check(vec![], vec![], pod("p", "1"), expect!["no nodes"]);
    check(
        vec![node("a", "4")],
        vec![],
        pod_with("p", "1", json!({"nodeSelector": {"disk": "ssd"}})),
        expect![
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        ],
    );
    check(
        vec![
            node("small", "1"),
            node("full", "4"),
            special("cordoned", json!({}), json!({"unschedulable": true})),
            special("tainted", json!({}), json!({"taints": [{"key": "k", "effect": "NoSchedule"}]})),
        ],
        vec![pod_on("other", "3", "full")],
        pod("p", "2"),
        expect![
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate, preemption: 0/4 nodes are available: 1 No preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling."
        ],
    );
}

#[test]
fn ports_and_the_number_of_pods_are_limited() {
    let ports = |ip: &str| json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": ip}]}]});
    let mut taken = ports("10.0.0.1");
    taken["nodeName"] = json!("a");
    check(
        vec![node("a", "4")],
        vec![pod_with("other", "", taken.clone())],
        pod_with("p", "", ports("")),
        expect![
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
    check(
        vec![node("a", "4")],
        vec![pod_with("other", "", taken)],
        pod_with("p", "", ports("10.0.0.2")),
        expect!["goes to a"],
    );
    let tiny = json!({"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "1", "pods": "1"}}});
    check(
        vec![node_from(tiny)],
        vec![pod_on("other", "", "a")],
        pod("p", ""),
        expect![
            "0/1 nodes are available: 1 Too many pods. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
        ],
    );
}

#[test]
fn node_affinity_narrows() {
    let wants = |requirement: Value| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [requirement]}}}})
    };
    let nodes = || {
        vec![
            special("a", json!({"cores": "4", "disk": "ssd"}), json!({})),
            special("b", json!({"cores": "16"}), json!({})),
        ]
    };
    let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    let by_name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]});
    for (requirement, expected) in [
        (expression("cores", "Gt", json!(["8"])), "goes to b"),
        (expression("cores", "Lt", json!(["8"])), "goes to a"),
        (expression("disk", "NotIn", json!(["ssd"])), "goes to b"),
        (expression("disk", "Exists", json!([])), "goes to a"),
        (by_name, "goes to b"),
    ] {
        let pod = pod_with("p", "1", wants(requirement.clone()));
        assert_eq!(decide(&cache(nodes(), vec![]), &pod, &Nominator::default()), expected, "{requirement}");
    }
}

#[test]
fn lower_priorities_make_room_and_a_nomination_keeps_it() {
    let ranked = |name: &str, cpu: &str, priority: i32, node: &str| {
        pod_with(name, cpu, json!({"priority": priority, "nodeName": node}))
    };
    let pods = vec![
        ranked("a1", "2", 5, "a"),
        ranked("a2", "2", 1, "a"),
        ranked("b1", "3", 3, "b"),
        ranked("b2", "1", 0, "b"),
    ];
    let mut cache = cache(vec![node("a", "4"), node("b", "4")], pods);
    let important = pod_with("p", "2", json!({"priority": 10}));
    expect!["0/2 nodes are available: 2 Insufficient cpu. Victims on a: a2"].assert_eq(&decide(
        &cache,
        &important,
        &Nominator::default(),
    ));
    let polite = pod_with("p", "2", json!({"priority": 10, "preemptionPolicy": "Never"}));
    expect!["0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never."]
        .assert_eq(&decide(&cache, &polite, &Nominator::default()));
    let mut nominator = Nominator::default();
    nominator.nominate(important.clone(), "a");
    cache.remove_pod("a2");
    expect!["goes to a"].assert_eq(&decide(&cache, &important, &nominator));
    expect![
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
    ]
    .assert_eq(&decide(&cache, &pod("q", "2"), &nominator));
}

/// The weighted totals of all nodes.
fn scores(args: PluginArgs, cache: &Cache, pod: &PodInfo) -> Vec<i64> {
    let framework = plugins::framework(&Profile { args, ..Profile::default() }, None, &Sources::none());
    let all: Vec<usize> = (0..cache.snapshot().nodes().len()).collect();
    cycle::totals(&framework, &mut CycleState::default(), pod, cache.snapshot(), &all)
}

#[test]
fn ranks_as_asked() {
    let cache = cache(vec![node("empty", "4"), node("busy", "4")], vec![pod_on("other", "2", "busy")]);
    let cpu = || vec![ResourceWeight { name: "cpu".to_owned(), weight: 1 }];
    let with = |scoring_strategy| PluginArgs { scoring_strategy, ..PluginArgs::default() };
    let curve =
        ScoringStrategy::RequestedToCapacityRatio { resources: cpu(), shape: vec![(0, 10), (100, 0)] };
    let told = [PluginArgs::default(), with(ScoringStrategy::MostAllocated(cpu())), with(curve)]
        .map(|args| scores(args, &cache, &pod("p", "1")));
    expect![[r#"
        [
            [
                474,
                423,
            ],
            [
                412,
                437,
            ],
            [
                462,
                387,
            ],
        ]
    "#]]
    .assert_debug_eq(&told);
    let mut liked = serde_json::to_value(&*node("liked", "4")).expect("a node");
    liked["status"]["images"] = json!([{"names": ["i:latest"], "sizeBytes": 1_000_000_000}]);
    let mut unloved = serde_json::to_value(&*node("unloved", "4")).expect("a node");
    unloved["spec"] = json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]});
    let cache = self::cache(vec![node_from(liked), node_from(unloved)], vec![]);
    expect![[r#"
        [
            444,
            98,
        ]
    "#]]
    .assert_debug_eq(&scores(PluginArgs::default(), &cache, &pod("p", "")));
}

#[test]
fn resources_are_read_in_their_units() {
    let list = json!({"cpu": "1500m", "memory": "1Gi", "example.com/gpu": "2", "pods": "5"});
    let parsed = Resources::parse(&serde_json::from_value(list).expect("a list"));
    assert_eq!((parsed.milli_cpu, parsed.memory, parsed.get("example.com/gpu")), (1500, 1 << 30, 2));
}
