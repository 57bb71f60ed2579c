//! What is done to a StatefulSet's pods, and in which order. Pure.
//!
//! With OrderedReady management a step waits until the one before it is done: pods are made from the lowest number
//! up, each when its predecessor is available, and removed from the highest down. Upstream:
//! pkg/controller/statefulset/stateful_set_control.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::Pod;

use super::identity::{Revision, corrected, new_pod, ordinal, revision_of};
use crate::percent::scaled;
use crate::pods;

/// What is known of a set.
pub(super) struct Scene<'a> {
    pub set: &'a StatefulSet,
    pub spec: &'a StatefulSetSpec,
    pub current: &'a Revision,
    pub update: &'a Revision,
    pub pods: &'a [Arc<Pod>],
    pub now: Timestamp,
}

/// Pods by their number.
type Numbered<'a> = BTreeMap<i32, &'a Arc<Pod>>;

/// One step. Those of a plan do not depend on each other.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Create {
        ordinal: i32,
        pod: Box<Pod>,
    },
    /// Ended though it should run: deleted, and made anew once it is gone.
    Renew(Arc<Pod>),
    Delete(Arc<Pod>),
    /// Looks after the claims of a pod that is there.
    Tend {
        ordinal: i32,
        pod: Arc<Pod>,
    },
    Correct(Box<Pod>),
}

impl Scene<'_> {
    fn start(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
    }

    pub fn end(&self) -> i32 {
        self.start().saturating_add(self.spec.replicas.unwrap_or(1))
    }

    pub fn is_member(&self, ordinal: i32) -> bool {
        (self.start()..self.end()).contains(&ordinal)
    }

    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    fn rolling(&self) -> Option<RollingUpdateStatefulSetStrategy> {
        let strategy = self.spec.update_strategy.as_ref();
        let on_delete = strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("OnDelete"));
        (!on_delete)
            .then(|| strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default())
    }

    /// The pods by number: those that belong, and those that are to go.
    fn by_ordinal(&self) -> (Numbered<'_>, Numbered<'_>) {
        let numbered = self.pods.iter().filter_map(|pod| Some((ordinal(self.set, pod)?, pod)));
        numbered.partition(|(ordinal, _)| self.is_member(*ordinal))
    }

    fn is_available(&self, pod: &Pod) -> bool {
        let min_ready = self.spec.min_ready_seconds.unwrap_or(0);
        pods::phase(pod) == "Running" && pods::is_available(pod, min_ready, self.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        pods::phase(pod) == "Running" && pods::is_ready(pod) && !pods::is_terminating(pod)
    }

    /// Which revision a new member is made from.
    fn revision_for(&self, ordinal: i32) -> &Revision {
        let current_replicas =
            self.set.status.as_ref().and_then(|status| status.current_replicas).unwrap_or(0);
        let strategy = self.spec.update_strategy.as_ref();
        let partition =
            strategy.and_then(|s| s.rolling_update.as_ref()).map(|rolling| rolling.partition.unwrap_or(0));
        let kept = if self.rolling().is_some() { partition.unwrap_or(current_replicas) } else { 0 };
        if ordinal < self.start().saturating_add(kept) { self.current } else { self.update }
    }
}

pub(super) fn plan(scene: &Scene<'_>) -> Vec<Step> {
    if scene.set.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let (members, condemned) = scene.by_ordinal();
    let mut steps = Vec::new();
    for ordinal in scene.start()..scene.end() {
        let waits = grow(scene, ordinal, members.get(&ordinal).copied(), &mut steps);
        if waits && scene.is_ordered() {
            return steps;
        }
    }
    if shrink(scene, &members, &condemned, &mut steps) {
        return steps;
    }
    let busy = steps.iter().any(|step| matches!(step, Step::Create { .. } | Step::Renew(_)));
    if !busy || !scene.is_ordered() {
        steps.extend(roll(scene, &members));
    }
    steps
}

/// Brings one member up; true if what comes after it has to wait.
fn grow(scene: &Scene<'_>, ordinal: i32, pod: Option<&Arc<Pod>>, steps: &mut Vec<Step>) -> bool {
    let Some(pod) = pod else {
        let pod = new_pod(scene.set, scene.spec, scene.revision_for(ordinal), ordinal);
        steps.push(Step::Create { ordinal, pod: Box::new(pod) });
        return true;
    };
    if pods::is_finished(pod) {
        if !pods::is_terminating(pod) {
            steps.push(Step::Renew(pod.clone()));
        }
        return true;
    }
    if scene.spec.volume_claim_templates.as_ref().is_some_and(|claims| !claims.is_empty()) {
        steps.push(Step::Tend { ordinal, pod: pod.clone() });
    }
    if pods::is_terminating(pod) || !scene.is_healthy(pod) || !scene.is_available(pod) {
        return true;
    }
    steps.extend(corrected(scene.set, scene.spec, pod, ordinal).map(|pod| Step::Correct(Box::new(pod))));
    false
}

/// Takes away what is too much, the highest first; true if the rest has to wait.
fn shrink(
    scene: &Scene<'_>,
    members: &Numbered<'_>,
    condemned: &Numbered<'_>,
    steps: &mut Vec<Step>,
) -> bool {
    let unhealthy =
        members.iter().chain(condemned).find(|(_, pod)| !scene.is_healthy(pod)).map(|(at, _)| *at);
    for (ordinal, pod) in condemned.iter().rev() {
        steps.push(Step::Tend { ordinal: *ordinal, pod: Arc::clone(pod) });
        if pods::is_terminating(pod) {
            if scene.is_ordered() {
                return true;
            }
            continue;
        }
        // Somebody else is not well: the set is not made smaller meanwhile, but by that one itself.
        let well = scene.is_healthy(pod) && scene.is_available(pod);
        if scene.is_ordered() && !well && unhealthy != Some(*ordinal) {
            return true;
        }
        steps.push(Step::Delete(Arc::clone(pod)));
        if scene.is_ordered() {
            return true;
        }
    }
    false
}

/// Deletes members of an old revision down to the partition, as many at once as may be unavailable.
fn roll(scene: &Scene<'_>, members: &Numbered<'_>) -> Vec<Step> {
    let Some(rolling) = scene.rolling() else { return Vec::new() };
    let replicas = scene.spec.replicas.unwrap_or(1);
    let most = rolling.max_unavailable.as_ref().map_or(1, |value| scaled(value, replicas, false).max(1));
    let first = scene.start().saturating_add(rolling.partition.unwrap_or(0));
    let targets = members.range(first..).rev();
    let is_old = |pod: &Pod| revision_of(pod) != Some(scene.update.name.as_str());
    let mut steps = Vec::new();
    if most <= 1 {
        for (_, pod) in targets {
            if is_old(pod) && !pods::is_terminating(pod) {
                return vec![Step::Delete(Arc::clone(pod))];
            }
            if !scene.is_healthy(pod) || !scene.is_available(pod) {
                break;
            }
        }
        return steps;
    }
    let missing = replicas - members.len() as i32;
    let unavailable =
        members.values().filter(|pod| !scene.is_healthy(pod) || !scene.is_available(pod)).count() as i32;
    let mut budget = most - unavailable - missing;
    for (_, pod) in targets.filter(|(_, pod)| is_old(pod) && !pods::is_terminating(pod)) {
        if budget <= 0 {
            break;
        }
        steps.push(Step::Delete(Arc::clone(pod)));
        budget -= 1;
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// `3:ready:new`, `3:pending:old`, `3:failed`, `3:ending:old`
    fn pod(word: &str) -> Arc<Pod> {
        let mut parts = word.split(':');
        let (ordinal, state) = (parts.next().expect("a number"), parts.next().expect("a state"));
        let revision = parts.next().unwrap_or("new");
        let phase = match state {
            "pending" => "Pending",
            "failed" => "Failed",
            _ => "Running",
        };
        let ready = if matches!(state, "ready" | "ending") { "True" } else { "False" };
        let name = format!("s-{ordinal}");
        let pod = json!({"metadata": {"name": name, "uid": name, "deletionTimestamp": (state == "ending").then_some("1970-01-01T00:00:00Z"),
                "labels": {"controller-revision-hash": revision, "apps.kubernetes.io/pod-index": ordinal, "statefulset.kubernetes.io/pod-name": name}},
            "spec": {"containers": []},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:00Z"}]}});
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    fn check(spec: Value, pods: &str, expected: &str) {
        let mut all = json!({"replicas": 3, "selector": {}, "template": {"spec": {"containers": []}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}});
        all.as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
        let set: StatefulSet =
            serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": all})).expect("a set");
        let pods: Vec<_> = pods.split_whitespace().map(pod).collect();
        let revision = |name: &str| Revision { name: name.into(), template: Default::default() };
        let scene = Scene {
            set: &set,
            spec: set.spec.as_ref().expect("has one"),
            current: &revision("old"),
            update: &revision("new"),
            pods: &pods,
            now: Timestamp::UNIX_EPOCH,
        };
        let told = plan(&scene).into_iter().filter_map(|step| match step {
            Step::Create { ordinal, pod } => {
                Some(format!("+{ordinal}:{}", revision_of(&pod).expect("labelled")))
            }
            Step::Renew(pod) => Some(format!("!{}", pod.metadata.name.as_ref().expect("named"))),
            Step::Delete(pod) => Some(format!("-{}", pod.metadata.name.as_ref().expect("named"))),
            Step::Correct(_) => Some("correct".into()),
            Step::Tend { .. } => None,
        });
        assert_eq!(told.collect::<Vec<_>>().join(" "), expected, "{spec} {pods:?}");
    }

    #[test]
    fn members_come_one_after_the_other() {
        check(json!({}), "", "+0:new");
        check(json!({}), "0:pending", "");
        check(json!({}), "0:ready", "+1:new");
        check(json!({}), "0:ready 2:ready", "+1:new");
        check(json!({}), "0:failed 1:ready", "!s-0");
        check(json!({"minReadySeconds": 5}), "0:ready", "");
        check(json!({"ordinals": {"start": 5}}), "5:ready", "+6:new");
        check(json!({"podManagementPolicy": "Parallel"}), "1:pending", "+0:new +2:new");
    }

    #[test]
    fn members_go_from_the_top() {
        check(json!({"replicas": 1}), "0:ready 1:ready 2:ready", "-s-2");
        check(json!({"replicas": 1}), "0:ready 1:ready 2:ending", "");
        check(json!({"replicas": 1}), "0:ready 1:pending 2:ready", "-s-2");
        check(json!({"replicas": 1}), "0:ready 1:ready 2:pending", "-s-2");
        check(json!({"replicas": 1}), "0:ready 1:pending 2:pending", "");
        check(json!({"replicas": 1}), "0:pending 1:ready", "");
        check(json!({"replicas": 0, "podManagementPolicy": "Parallel"}), "0:ready 1:pending", "-s-1 -s-0");
    }

    #[test]
    fn revisions_roll_from_the_top_down_to_the_partition() {
        let rolling =
            |rolling: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}});
        check(json!({}), "0:ready:old 1:ready:old 2:ready:old", "-s-2");
        check(json!({}), "0:ready:old 1:ready:old 2:ready:new", "-s-1");
        check(json!({}), "0:ready:old 1:ready:old 2:pending:new", "");
        check(rolling(json!({"partition": 2})), "0:ready:old 1:ready:old 2:ready:new", "");
        check(rolling(json!({"partition": 2})), "0:ready:old 2:ready:new", "+1:old");
        check(
            rolling(json!({"partition": 0, "maxUnavailable": 2})),
            "0:ready:old 1:ready:old 2:ready:old",
            "-s-2 -s-1",
        );
        check(
            rolling(json!({"partition": 0, "maxUnavailable": "67%"})),
            "0:ready:old 1:ready:old 2:ready:old",
            "-s-2 -s-1",
        );
        check(json!({"updateStrategy": {"type": "OnDelete"}}), "0:ready:old 1:ready:old 2:ready:old", "");
        // A broken revision stays until somebody deletes its pod: with ordered management nothing goes past it.
        check(json!({}), "0:ready:old 1:ready:old 2:pending:older", "");
        check(json!({"podManagementPolicy": "Parallel"}), "0:ready:old 1:ready:old 2:pending:older", "-s-2");
    }
}
