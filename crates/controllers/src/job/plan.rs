//! What has to happen to a Job's pods. Pure.
//!
//! Upstream: pkg/controller/job/job_controller.go, `manageJob`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::Pod;

use super::assess::Assessment;
use super::backoff::{Backoff, left_of_index};
use super::pod::{index, is_indexed, only_replaces_failed, valid_index};
use crate::pods;

/// Most pods made or deleted in one go.
const BURST: usize = 500;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// A pod for each; with an index where the job is Indexed.
    pub create: Vec<Option<i32>>,
    pub delete: Vec<Arc<Pod>>,
    /// Creations that have to wait after failures.
    pub wait: Option<Duration>,
}

/// The difference between the pods wanted and the active ones. Deletions come first: what is created depends on them.
pub(super) fn plan(
    spec: &JobSpec,
    found: &Assessment,
    owned: &[Arc<Pod>],
    backoff: Backoff,
    now: Timestamp,
) -> Plan {
    let active: Vec<Arc<Pod>> = owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    if spec.suspend == Some(true) {
        return Plan { delete: active, ..Plan::default() };
    }
    let wanted = wanted(spec, found.succeeded, active.len());
    let mut delete = surplus(spec, &active, active.len().saturating_sub(wanted));
    if !delete.is_empty() {
        delete.truncate(BURST);
        return Plan { delete, ..Plan::default() };
    }
    let terminating: Vec<&Arc<Pod>> = owned.iter().filter(|pod| is_ending(pod)).collect();
    let held = if only_replaces_failed(spec) { terminating.len() } else { 0 };
    let missing = wanted.saturating_sub(active.len() + held).min(BURST);
    if missing == 0 {
        return Plan::default();
    }
    if spec.backoff_limit_per_index.is_none()
        && let Some(left) = backoff.left(now)
    {
        return Plan { wait: Some(left), ..Plan::default() };
    }
    if !is_indexed(spec) {
        return Plan { create: vec![None; missing], ..Plan::default() };
    }
    let indexes = pending(spec, found, &active, &terminating, missing);
    ready_indexes(indexes, &found.delayed, now)
}

/// On its way out and not there yet.
pub(super) fn is_ending(pod: &Pod) -> bool {
    pods::is_terminating(pod) && !pods::is_finished(pod)
}

fn wanted(spec: &JobSpec, succeeded: i32, active: usize) -> usize {
    let parallelism = spec.parallelism.unwrap_or(1).max(0) as usize;
    match spec.completions {
        // One success is enough; what runs may end.
        None if succeeded > 0 => active,
        None => parallelism,
        Some(completions) => ((completions - succeeded).max(0) as usize).min(parallelism),
    }
}

/// At least `count` pods to delete; of an Indexed job also those with a wrong or a repeated index.
fn surplus(spec: &JobSpec, active: &[Arc<Pod>], count: usize) -> Vec<Arc<Pod>> {
    let mut ranked = active.to_vec();
    ranked.sort_by_cached_key(|pod| rank(pod));
    let (mut delete, mut left) = (Vec::new(), Vec::new());
    if is_indexed(spec) {
        let mut seen = BTreeSet::new();
        // The best of each index stays: the last in the order.
        for pod in ranked.into_iter().rev() {
            match valid_index(&pod, spec) {
                Some(index) if seen.insert(index) => left.push(pod),
                _ => delete.push(pod),
            }
        }
        left.reverse();
    } else {
        left = ranked;
    }
    let more = count.saturating_sub(delete.len());
    delete.extend(left.into_iter().take(more));
    delete
}

/// Lower goes first: unassigned, pending, not ready, young.
fn rank(pod: &Pod) -> impl Ord + use<> {
    let phase = match pods::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (
        pods::node_name(pod).is_some(),
        phase,
        pods::is_ready(pod),
        std::cmp::Reverse(created),
        pod.metadata.uid.clone(),
    )
}

fn pending(
    spec: &JobSpec,
    found: &Assessment,
    active: &[Arc<Pod>],
    terminating: &[&Arc<Pod>],
    count: usize,
) -> Vec<i32> {
    let mut taken = found.succeeded_indexes.clone().with(active.iter().filter_map(|pod| index(pod)));
    if only_replaces_failed(spec) {
        taken = taken.with(terminating.iter().filter_map(|pod| index(pod)));
    }
    if let Some(failed) = &found.failed_indexes {
        taken = taken.merge(failed);
    }
    taken.first_missing(count, spec.completions.unwrap_or(0))
}

/// The indexes whose own wait is over; if there is none, the shortest wait.
fn ready_indexes(indexes: Vec<i32>, delayed: &BTreeMap<i32, Arc<Pod>>, now: Timestamp) -> Plan {
    let left = |index: &i32| delayed.get(index).and_then(|pod| left_of_index(pod, now));
    let create: Vec<_> =
        indexes.iter().filter(|index| left(index).is_none()).map(|index| Some(*index)).collect();
    let wait = if create.is_empty() { indexes.iter().filter_map(left).min() } else { None };
    Plan { create, wait, delete: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use k8s_openapi::api::batch::v1::Job;
    use serde_json::{Value, json};

    use super::super::assess::{Scene, assess};
    use super::*;

    fn job(spec: Value, status: Value) -> Job {
        let mut all = json!({"template": {}, "parallelism": 1, "backoffLimit": 6});
        all.as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
        serde_json::from_value(json!({"metadata": {"name": "j"}, "spec": all, "status": status}))
            .expect("a job")
    }

    /// `name:phase[:index[:failures]]`
    fn pods(words: &str) -> Vec<Arc<Pod>> {
        let pod = |word: &str| {
            let mut parts = word.split(':');
            let (name, phase) = (parts.next().expect("a name"), parts.next().expect("a phase"));
            let mut annotations = serde_json::Map::new();
            parts.next().map(|index| annotations.insert(super::super::pod::INDEX.into(), index.into()));
            parts.next().map(|count| annotations.insert(super::super::pod::FAILURES.into(), count.into()));
            let state = json!({"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:00:00Z"}});
            let ended = matches!(phase, "Failed" | "Succeeded");
            let state = if ended { state } else { json!({"running": {}}) };
            let pod = json!({"metadata": {"name": name, "uid": name, "annotations": annotations,
                    "deletionTimestamp": (phase == "Ending").then_some("1970-01-01T00:00:00Z"),
                    "finalizers": [super::super::pod::FINALIZER]},
                "status": {"phase": if phase == "Ending" { "Running" } else { phase }, "containerStatuses": [
                    {"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]}});
            Arc::new(serde_json::from_value(pod).expect("a pod"))
        };
        words.split_whitespace().map(pod).collect()
    }

    /// What a job does, `second` seconds after all that has ended ended.
    fn told(job: &Job, owned: &str, second: i64) -> String {
        let (owned, now) = (pods(owned), Timestamp::from_second(second).expect("in range"));
        let released = HashSet::new();
        let found = assess(&Scene { job, pods: &owned, released: &released, now });
        if let Some(end) = found.finish {
            return format!("{} {}", end.type_, end.reason.unwrap_or_default());
        }
        let backoff = Backoff::default()
            .after(found.new_succeeded.iter().map(|p| &**p), found.new_failed.iter().map(|p| &**p));
        let plan = plan(job.spec.as_ref().expect("has one"), &found, &owned, backoff, now);
        let mut words: Vec<String> =
            plan.create.iter().map(|i| i.map_or("+".into(), |index| format!("+{index}"))).collect();
        words.extend(plan.delete.iter().map(|pod| format!("-{}", pod.metadata.name.clone().expect("named"))));
        words.extend(plan.wait.map(|wait| format!("wait {}", wait.as_secs())));
        words.join(" ")
    }

    #[test]
    fn pods_follow_parallelism_and_completions() {
        for (spec, owned, expected) in [
            (json!({"completions": 5, "parallelism": 2}), "", "+ +"),
            (json!({"completions": 5, "parallelism": 2}), "a:Running", "+"),
            (json!({"completions": 2, "parallelism": 2}), "a:Succeeded b:Running", ""),
            (json!({"completions": 2, "parallelism": 1}), "a:Running b:Pending", "-b"),
            (json!({"parallelism": 2}), "a:Succeeded b:Running", ""),
            (json!({"parallelism": 2}), "a:Running", "+"),
            (json!({"completions": 5, "parallelism": 2, "suspend": true}), "a:Running", "-a"),
            (json!({"completions": 1}), "a:Ending", "wait 10"),
            (json!({"completions": 1, "podReplacementPolicy": "Failed"}), "a:Ending", ""),
        ] {
            assert_eq!(told(&job(spec.clone(), json!({})), owned, 0), expected, "{spec} {owned}");
        }
    }

    #[test]
    fn indexes_are_done_once_each() {
        let indexed = |more: Value| {
            let mut spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 2});
            spec.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
            spec
        };
        for (status, owned, expected) in [
            (json!({}), "", "+0 +1"),
            (json!({"completedIndexes": "0,1"}), "a:Running:2", "+3"),
            (json!({}), "a:Succeeded:0 b:Running:1", "+2"),
            (json!({}), "a:Running:0 b:Running:0", "-a"),
            (json!({}), "a:Running:9 b:Running:0", "-a"),
        ] {
            assert_eq!(told(&job(indexed(json!({})), status), owned, 0), expected, "{owned}");
        }
        let per_index = json!({"backoffLimitPerIndex": 1, "backoffLimit": i32::MAX});
        let told = |more: Value, owned, second| told(&job(indexed(more), json!({})), owned, second);
        assert_eq!(told(per_index.clone(), "a:Failed:0:0", 5), "+1");
        assert_eq!(told(per_index.clone(), "a:Failed:0:0", 10), "+0 +1");
        assert_eq!(told(per_index.clone(), "a:Failed:0:1", 10), "+1 +2");
        assert_eq!(
            told(per_index.clone(), "a:Failed:0:1 b:Succeeded:1 c:Succeeded:2 d:Succeeded:3", 10),
            "FailureTarget FailedIndexes"
        );
        let most = json!({"backoffLimitPerIndex": 0, "backoffLimit": i32::MAX, "maxFailedIndexes": 0});
        assert_eq!(told(most, "a:Failed:0:0", 0), "FailureTarget MaxFailedIndexesExceeded");
        let success = json!({"successPolicy": {"rules": [{"succeededIndexes": "1"}]}});
        assert_eq!(told(success, "a:Running:0 b:Succeeded:1", 0), "SuccessCriteriaMet SuccessPolicy");
    }

    #[test]
    fn limits_end_a_job() {
        let failed = |count: usize| (0..count).map(|n| format!("p{n}:Failed")).collect::<Vec<_>>().join(" ");
        let limited = job(json!({"completions": 1, "backoffLimit": 1}), json!({}));
        assert_eq!(told(&limited, &failed(1), 0), "wait 10");
        assert_eq!(told(&limited, &failed(1), 10), "+");
        assert_eq!(told(&limited, &failed(2), 0), "FailureTarget BackoffLimitExceeded");
        let started = json!({"startTime": "1970-01-01T00:00:00Z"});
        let timed = job(json!({"completions": 1, "activeDeadlineSeconds": 5}), started);
        assert_eq!(told(&timed, "a:Running", 4), "");
        assert_eq!(told(&timed, "a:Running", 5), "FailureTarget DeadlineExceeded");
    }
}
