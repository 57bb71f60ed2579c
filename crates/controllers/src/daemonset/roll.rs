//! Replaces pods of older revisions, within the limits. Pure.
//!
//! Upstream: pkg/controller/daemon/update.go, `rollingUpdate`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::fit::Fit;
use super::plan::{Limits, Plan, Scene};
use crate::pods;

/// Nothing where pods are replaced only when somebody deletes them.
pub(super) fn roll(scene: &Scene<'_>) -> Plan {
    match scene.limits() {
        None => Plan::default(),
        Some(limits) if limits.surge == 0 => replace(scene, limits),
        Some(limits) => surge(scene, limits),
    }
}

/// The pods of the new and of an old revision on a node.
enum Pair<'a> {
    /// More than one of a kind: put in order elsewhere.
    Crowded,
    One(Option<&'a Arc<Pod>>, Option<&'a Arc<Pod>>),
}

fn pair<'a>(scene: &Scene<'_>, pods: &'a [Arc<Pod>]) -> Pair<'a> {
    let staying = pods.iter().filter(|pod| !pods::is_terminating(pod));
    let (new, old): (Vec<_>, Vec<_>) = staying.partition(|pod| scene.is_current(pod));
    if new.len() > 1 || old.len() > 1 {
        return Pair::Crowded;
    }
    Pair::One(new.first().copied(), old.first().copied())
}

/// Deletes old pods; new ones come in their place.
fn replace(scene: &Scene<'_>, limits: Limits) -> Plan {
    let (mut unavailable, mut plan, mut candidates) = (0, Plan::default(), Vec::new());
    // A node without a pod counts as well: it waits for its own.
    let nodes = scene.fits.iter().filter(|(node, fit)| **fit == Fit::Runs || !scene.on(node).is_empty());
    for (node, _) in nodes {
        match pair(scene, scene.on(node)) {
            Pair::One(Some(new), None) => unavailable += i32::from(!scene.is_available(new)),
            // It serves nobody: replacing it costs nothing.
            Pair::One(None, Some(old)) if !scene.is_available(old) => plan.delete.push(old.clone()),
            Pair::One(None, Some(old)) => candidates.push(old.clone()),
            _ => unavailable += 1,
        }
    }
    let budget = (limits.unavailable - unavailable - plan.delete.len() as i32).max(0) as usize;
    plan.delete.extend(candidates.into_iter().take(budget));
    plan
}

/// Makes new pods beside the old ones, and deletes an old one when its successor is available.
fn surge(scene: &Scene<'_>, limits: Limits) -> Plan {
    let (mut surging, mut plan, mut candidates) = (0, Plan::default(), Vec::new());
    for (node, pods) in scene.pods.iter().filter(|(node, _)| scene.fits.contains_key(*node)) {
        match pair(scene, pods) {
            Pair::Crowded => surging += 1,
            Pair::One(_, None) => {}
            Pair::One(None, Some(_)) if scene.fits.get(node) != Some(&Fit::Runs) => {}
            Pair::One(None, Some(old)) if !scene.is_available(old) => plan.create.push(node.clone()),
            Pair::One(None, Some(_)) => candidates.push(node.clone()),
            Pair::One(Some(new), Some(_)) if !scene.is_available(new) => surging += 1,
            Pair::One(Some(_), Some(old)) => plan.delete.push(old.clone()),
        }
    }
    let budget = (limits.surge - surging).max(0) as usize;
    plan.create.extend(candidates.into_iter().take(budget));
    plan
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::apps::v1::DaemonSet;
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};

    use super::super::plan::plan;
    use super::*;

    /// `node:state:revision`, where a state is ready, pending, ending or failed.
    fn pod(word: &str) -> Arc<Pod> {
        let parts: Vec<_> = word.split(':').collect();
        let [node, state, revision] = parts[..] else { panic!("{word}") };
        let phase = match state {
            "pending" => "Pending",
            "failed" => "Failed",
            _ => "Running",
        };
        let ready = if state == "ready" { "True" } else { "False" };
        let pod = json!({"metadata": {"name": word, "uid": word, "labels": {"controller-revision-hash": revision},
                "deletionTimestamp": (state == "ending").then_some("1970-01-01T00:00:00Z")},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:00Z"}]}});
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    fn check(rolling: Value, nodes: &str, pods: &str, expected: &str) {
        let node = |word: &str| {
            let (name, effect) =
                word.split_once('!').map_or((word, None), |(name, effect)| (name, Some(effect)));
            let taints: Vec<_> =
                effect.map(|effect| json!({"key": "t", "effect": effect})).into_iter().collect();
            let node = json!({"metadata": {"name": name}, "spec": {"taints": taints}});
            Arc::new(serde_json::from_value::<Node>(node).expect("a node"))
        };
        let set: DaemonSet = serde_json::from_value(json!({"metadata": {"name": "d"}, "spec": {"selector": {},
            "template": {"spec": {"containers": []}}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}))
        .expect("a set");
        let nodes: Vec<_> = nodes.split_whitespace().map(node).collect();
        let owned: Vec<_> = pods.split_whitespace().map(pod).collect();
        let spec = set.spec.as_ref().expect("has one");
        let scene = Scene::new(&set, spec, "new", &nodes, &owned, Timestamp::UNIX_EPOCH);
        let mut words = Vec::new();
        for plan in [plan(&scene), roll(&scene)] {
            words.extend(plan.create.iter().map(|node| format!("+{node}")));
            let deleted = plan.delete.iter().chain(plan.failed.iter().map(|(_, pod)| pod));
            words.extend(deleted.map(|pod| format!("-{}", pod.metadata.name.as_ref().expect("named"))));
        }
        assert_eq!(words.join(" "), expected, "{nodes:?} {pods}");
    }

    #[test]
    fn one_pod_on_each_node_that_is_wanted() {
        let one = json!({"maxUnavailable": 1});
        check(one.clone(), "a b", "a:ready:new", "+b");
        check(one.clone(), "a b!NoSchedule", "b:ready:new", "+a");
        check(one.clone(), "a b!NoExecute", "a:ready:new b:ready:new", "-b:ready:new");
        check(one.clone(), "a", "a:ready:new a:pending:new", "-a:ready:new");
        check(one.clone(), "a", "a:failed:new", "-a:failed:new");
        check(one, "a", "a:ending:new", "");
    }

    #[test]
    fn old_pods_are_replaced_within_the_limit() {
        let pods = "a:ready:old b:ready:old c:ready:old";
        check(json!({"maxUnavailable": 1}), "a b c", pods, "-a:ready:old");
        check(json!({"maxUnavailable": "50%"}), "a b c", pods, "-a:ready:old -b:ready:old");
        check(json!({"maxUnavailable": 1}), "a b c", "a:pending:new b:ready:old c:ready:old", "");
        check(
            json!({"maxUnavailable": 1}),
            "a b c",
            "a:pending:old b:ready:old c:ready:old",
            "-a:pending:old",
        );
        check(json!({"maxUnavailable": 1}), "a b", "a:ending:old b:ready:old", "");
    }

    #[test]
    fn surging_pods_come_first() {
        let surge = json!({"maxSurge": 1, "maxUnavailable": 0});
        check(surge.clone(), "a b", "a:ready:old b:ready:old", "+a");
        check(surge.clone(), "a b", "a:ready:old a:pending:new b:ready:old", "");
        check(surge, "a b", "a:pending:old b:ready:old", "+a +b");
    }
}
