//! Every filter and score against a slow, plain reading of the documented rules, over random clusters and pods.
//!
//! [`world`] makes clusters that change while pods come and go, so that what the cache keeps up to date is compared
//! with what is counted anew each time. [`reference`] knows nothing of the scheduler: objects in, answers out.

mod reference;
mod scores;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use stdx::Random;

use self::world::World;
use crate::cache::Snapshot;
use crate::config::Profile;
use crate::framework::{CycleState, Framework, PreFiltered, PreScored, RejectionKind, Verdict};
use crate::pod_info::PodInfo;
use crate::{Sources, plugins};

/// Clusters, and pods that come to each: 10,000 cases for each plugin.
const CLUSTERS: u64 = 1_000;
const PODS: usize = 10;

/// A yes is none; a no is the reasons, and whether leaving pods would help.
type Answer = Option<String>;

fn told(verdict: Verdict) -> Answer {
    let rejection = verdict.err()?;
    let kind = match rejection.kind {
        RejectionKind::Unschedulable => "",
        RejectionKind::Unresolvable => " (for good)",
        RejectionKind::Error => " (error)",
    };
    Some(format!("{}{kind}", rejection.message()))
}

/// What the plugin says of each node, by name.
fn filtered(
    framework: &Framework,
    plugin: &str,
    pod: &PodInfo,
    snapshot: &Snapshot,
) -> Vec<(String, Answer)> {
    let mut state = CycleState::default();
    let pre_filter = framework.pre_filter.iter().find(|other| other.name() == plugin);
    let skips = pre_filter
        .is_some_and(|pre| matches!(pre.pre_filter(&mut state, pod, snapshot), Ok(PreFiltered::Skip)));
    let filter = framework.filter.iter().find(|other| other.name() == plugin).expect("a filter");
    let answer = |node| if skips { None } else { told(filter.filter(&state, pod, node)) };
    let mut all: Vec<_> = snapshot.nodes().iter().map(|node| (node.name.clone(), answer(node))).collect();
    all.sort();
    all
}

/// What the plugin gives each node, by name.
fn scored(framework: &Framework, plugin: &str, pod: &PodInfo, snapshot: &Snapshot) -> Vec<(String, i64)> {
    let mut state = CycleState::default();
    let all: Vec<usize> = (0..snapshot.nodes().len()).collect();
    let pre_score = framework.pre_score.iter().find(|other| other.name() == plugin);
    let skips =
        pre_score.is_some_and(|pre| pre.pre_score(&mut state, pod, snapshot, &all) == PreScored::Skip);
    let (score, _) = framework.score.iter().find(|(other, _)| other.name() == plugin).expect("a score");
    let mut scores: Vec<i64> = vec![0; all.len()];
    if !skips {
        scores = snapshot.nodes().iter().map(|node| score.score(&state, pod, node, snapshot)).collect();
        score.normalize(&state, &mut scores);
    }
    let names = snapshot.nodes().iter().map(|node| node.name.clone());
    let mut all: Vec<_> = names.zip(scores).collect();
    all.sort();
    all
}

/// The cluster as plain objects, for the reference.
struct View<'a> {
    nodes: &'a [Arc<Node>],
    /// On nodes.
    pods: &'a [Arc<Pod>],
    namespaces: &'a [(String, Vec<(String, String)>)],
}

type Judge = fn(&View<'_>, &Pod, &Node) -> Answer;
type Rank = fn(&View<'_>, &Pod) -> Vec<i64>;

const FILTERS: [(&str, Judge); 8] = [
    ("NodeUnschedulable", reference::unschedulable),
    ("NodeName", reference::node_name),
    ("TaintToleration", reference::taints),
    ("NodeAffinity", reference::node_affinity),
    ("NodePorts", reference::ports),
    ("NodeResourcesFit", reference::fit),
    ("PodTopologySpread", reference::spread),
    ("InterPodAffinity", reference::neighbors),
];

const SCORES: [(&str, Rank); 6] = [
    ("TaintToleration", scores::taints),
    ("NodeAffinity", scores::node_affinity),
    ("NodeResourcesFit", scores::least_allocated),
    ("NodeResourcesBalancedAllocation", scores::balanced),
    ("PodTopologySpread", scores::spread),
    ("InterPodAffinity", scores::neighbors),
];

/// How often each plugin told nodes apart: worlds in which it never does would prove nothing.
type Tally = BTreeMap<(&'static str, &'static str), usize>;

fn compare(framework: &Framework, world: &World, pod: &Arc<PodInfo>, seed: u64, tally: &mut Tally) {
    let view = world.view();
    let snapshot = world.cache.snapshot();
    for (plugin, judge) in FILTERS {
        let mut expected: Vec<_> = view
            .nodes
            .iter()
            .map(|node| (node.metadata.name.clone().expect("named"), judge(&view, &pod.pod, node)))
            .collect();
        expected.sort();
        let found = filtered(framework, plugin, pod, snapshot);
        assert_eq!(found, expected, "{plugin}, seed {seed}\n{}", world.told(pod));
        *tally.entry((plugin, "says no")).or_default() +=
            usize::from(found.iter().any(|(_, no)| no.is_some()));
    }
    for (plugin, rank) in SCORES {
        let names = view.nodes.iter().map(|node| node.metadata.name.clone().expect("named"));
        let mut expected: Vec<_> = names.zip(rank(&view, &pod.pod)).collect();
        expected.sort();
        let found = scored(framework, plugin, pod, snapshot);
        assert_eq!(found, expected, "{plugin}, seed {seed}\n{}", world.told(pod));
        let prefers = found.iter().any(|(_, score)| *score != found[0].1);
        *tally.entry((plugin, "prefers")).or_default() += usize::from(prefers);
    }
}

/// As preemption does: what is thought away must be as if it were gone.
fn compare_without(framework: &Framework, world: &World, pod: &Arc<PodInfo>, seed: u64) {
    let snapshot = world.cache.snapshot();
    let Some(victim) = world.some_pod() else { return };
    let node = snapshot.get(victim.node_name().expect("on a node")).expect("known");
    let view = world.view();
    let left: Vec<_> = view
        .pods
        .iter()
        .filter(|other| other.metadata.uid.as_deref() != Some(&victim.uid))
        .cloned()
        .collect();
    let object = node.node.clone().expect("an object");
    for (plugin, judge) in FILTERS.into_iter().skip(6) {
        let mut state = CycleState::default();
        let pre = framework.pre_filter.iter().find(|other| other.name() == plugin).expect("a pre-filter");
        if !matches!(pre.pre_filter(&mut state, pod, snapshot), Ok(PreFiltered::AllNodes)) {
            continue;
        }
        pre.remove_pod(&mut state, pod, &victim, node, snapshot);
        let filter = framework.filter.iter().find(|other| other.name() == plugin).expect("a filter");
        let expected = judge(&View { pods: &left, ..world.view() }, &pod.pod, &object);
        let all = world.told(pod);
        assert_eq!(
            told(filter.filter(&state, pod, node)),
            expected,
            "{plugin} without {}, seed {seed}\n{all}",
            victim.uid
        );
        pre.add_pod(&mut state, pod, &victim, node, snapshot);
        let expected = judge(&world.view(), &pod.pod, &object);
        assert_eq!(
            told(filter.filter(&state, pod, node)),
            expected,
            "{plugin} with {}, seed {seed}\n{all}",
            victim.uid
        );
    }
}

#[test]
fn decisions_are_those_of_the_documented_rules() {
    let framework = plugins::framework(&Profile::default(), None, &Sources::none());
    let mut tally = Tally::new();
    for seed in 0..CLUSTERS {
        let mut world = World::new(Random::seeded(seed));
        for _ in 0..PODS {
            let pod = world.pod();
            compare(&framework, &world, &pod, seed, &mut tally);
            compare_without(&framework, &world, &pod, seed);
            world.change(&pod);
        }
    }
    let seldom: Vec<_> = tally.iter().filter(|(_, times)| **times < 200).collect();
    assert!(seldom.is_empty(), "hardly tried: {seldom:?}");
}
