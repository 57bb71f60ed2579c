//! Counts ended pods into a Job's status, in steps that a crash between any two of them does not spoil.
//!
//! First the UIDs of ended pods are written to `uncountedTerminatedPods`, then the finalizers are removed, then the
//! UIDs become numbers. Upstream: `trackJobStatusAndRemoveFinalizers`. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::assess::{Assessment, FAILURE_TARGET, SUCCESS_CRITERIA_MET, Scene, new_condition};
use super::pod::{has_failed, index, is_indexed, is_tracked, spec, valid_index};
use super::policy;
use crate::pods;

/// Most pods counted in one go, so that the status stays small (upstream: MaxUncountedPods).
const MOST_UNCOUNTED: usize = 500;

/// What counting asks for.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    /// Pods whose finalizers may go once the status is written.
    pub release: Vec<Arc<Pod>>,
    /// More pods wait to be counted: the job is not over yet.
    pub is_full: bool,
}

/// Notes ended pods in `status`. `finish` is the condition that ends the job, if one does.
pub(super) fn track(
    scene: &Scene<'_>,
    found: &Assessment,
    finish: Option<&JobCondition>,
    status: &mut JobStatus,
) -> Tracked {
    let spec = spec(scene.job);
    settle(status, &held(scene));
    let mut tracked = Tracked::default();
    let mut fresh = Vec::new();
    let mut pods: Vec<&Arc<Pod>> = scene.pods.iter().collect();
    if is_indexed(&spec) {
        pods.sort_by_key(|pod| index(pod));
    }
    for pod in pods.into_iter().filter(|pod| is_tracked(pod) && !scene.is_released(pod)) {
        if !may_release(scene, found, finish, &spec, pod) {
            continue;
        }
        tracked.release.push(pod.clone());
        note(scene, found, finish, &spec, pod, status, &mut fresh);
        if fresh.len() + uncounted(status) >= MOST_UNCOUNTED {
            tracked.is_full = true;
            break;
        }
    }
    if is_indexed(&spec) {
        let done = found.counted_indexes.clone().with(fresh);
        status.succeeded = some(done.total());
        status.completed_indexes = Some(done.to_string()).filter(|text| !text.is_empty());
        status.failed_indexes = found.failed_indexes.as_ref().map(ToString::to_string);
    }
    tracked
}

fn held(scene: &Scene<'_>) -> HashSet<String> {
    let held = scene.pods.iter().filter(|pod| is_tracked(pod) && !scene.is_released(pod));
    held.filter_map(|pod| pod.metadata.uid.clone()).collect()
}

fn may_release(
    scene: &Scene<'_>,
    found: &Assessment,
    finish: Option<&JobCondition>,
    spec: &JobSpec,
    pod: &Arc<Pod>,
) -> bool {
    if scene.job.metadata.deletion_timestamp.is_some() || finish.is_some() || pods::phase(pod) == "Succeeded"
    {
        return true;
    }
    let kept = || {
        let delayed = index(pod).and_then(|index| found.delayed.get(&index));
        delayed.is_some_and(|delayed| delayed.metadata.uid == pod.metadata.uid)
    };
    has_failed(pod, spec) && !(spec.backoff_limit_per_index.is_some() && kept())
}

fn note(
    scene: &Scene<'_>,
    found: &Assessment,
    finish: Option<&JobCondition>,
    spec: &JobSpec,
    pod: &Pod,
    status: &mut JobStatus,
    fresh: &mut Vec<i32>,
) {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    let counted_failed = uncounted.failed.iter().flatten().any(|known| *known == uid);
    // A job that ends for another reason than success takes its pods along as failures.
    let lost = finish.is_some_and(|finish| finish.type_ != SUCCESS_CRITERIA_MET);
    if pods::phase(pod) == "Succeeded" && !counted_failed {
        if !is_indexed(spec) {
            let succeeded = uncounted.succeeded.get_or_insert_default();
            if !succeeded.contains(&uid) {
                succeeded.push(uid);
            }
        } else if let Some(index) = valid_index(pod, spec).filter(|index| !found.counted_indexes.has(*index))
        {
            fresh.push(index);
        }
    } else if (has_failed(pod, spec) || lost)
        && !counted_failed
        && (!is_indexed(spec) || valid_index(pod, spec).is_some())
        && policy::judge(scene.job, pod).counts()
    {
        uncounted.failed.get_or_insert_default().push(uid);
    }
}

fn uncounted(status: &JobStatus) -> usize {
    let lists = status.uncounted_terminated_pods.iter().flat_map(|u| [&u.succeeded, &u.failed]);
    lists.flatten().map(Vec::len).sum()
}

/// Turns the UIDs of pods that no longer hold their finalizer into numbers.
pub(super) fn settle(status: &mut JobStatus, held: &HashSet<String>) {
    let Some(uncounted) = &mut status.uncounted_terminated_pods else { return };
    let count = |list: &mut Option<Vec<String>>, number: &mut Option<i32>| {
        let Some(uids) = list else { return };
        let before = uids.len();
        uids.retain(|uid| held.contains(uid));
        *number = some(number.unwrap_or(0) + (before - uids.len()) as i32);
        if uids.is_empty() {
            *list = None;
        }
    };
    count(&mut uncounted.succeeded, &mut status.succeeded);
    count(&mut uncounted.failed, &mut status.failed);
}

/// Writes the interim condition of an end, and gives the final one.
pub(super) fn announce(finish: JobCondition, status: &mut JobStatus) -> JobCondition {
    let (kind, now) = (finish.type_.clone(), finish.last_transition_time.clone());
    let known = status.conditions.iter().flatten().any(|condition| condition.type_ == kind);
    let last = match kind.as_str() {
        FAILURE_TARGET => "Failed",
        SUCCESS_CRITERIA_MET => "Complete",
        _ => return finish,
    };
    let (reason, message) =
        (finish.reason.clone().unwrap_or_default(), finish.message.clone().unwrap_or_default());
    if !known {
        status.conditions.get_or_insert_default().push(finish);
    }
    new_condition(last, true, &reason, &message, now.map_or(jiff::Timestamp::UNIX_EPOCH, |time| time.0))
}

/// Writes the final condition if nothing is left to count or to wait for; true if it did.
pub(super) fn conclude(finish: &JobCondition, status: &mut JobStatus) -> bool {
    if uncounted(status) > 0 || status.terminating.unwrap_or(0) > 0 {
        return false;
    }
    set_condition(status, finish.clone());
    if finish.type_ == "Complete" {
        status.completion_time = finish.last_transition_time.clone();
    }
    true
}

/// Sets a condition, and tells whether that changed anything. One that was never true is not written as false.
pub(super) fn set_condition(status: &mut JobStatus, fresh: JobCondition) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions.iter_mut().find(|condition| condition.type_ == fresh.type_);
    let changed = match known {
        Some(known)
            if known.status == fresh.status
                && known.reason == fresh.reason
                && known.message == fresh.message =>
        {
            false
        }
        Some(known) => {
            *known = fresh;
            true
        }
        None if fresh.status == "False" => false,
        None => {
            conditions.push(fresh);
            true
        }
    };
    if conditions.is_empty() {
        status.conditions = None;
    }
    changed
}

/// Zero is left out of a status, as upstream does.
pub(super) fn some(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::batch::v1::Job;
    use serde_json::{Value, json};

    use super::super::assess::assess;
    use super::*;

    fn pod(name: &str, phase: &str) -> Arc<Pod> {
        let pod = json!({"metadata": {"name": name, "uid": name, "finalizers": [super::super::pod::FINALIZER]},
            "status": {"phase": phase}});
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    fn counts(status: &JobStatus) -> Value {
        json!([status.succeeded, status.failed, status.uncounted_terminated_pods])
    }

    #[test]
    fn ends_are_noted_before_they_are_counted_and_never_twice() {
        let job: Job = serde_json::from_value(json!({"metadata": {"name": "j"},
            "spec": {"template": {}, "completions": 3, "backoffLimit": 6}}))
        .expect("a job");
        let pods = [pod("a", "Succeeded"), pod("b", "Failed"), pod("c", "Running")];
        let mut status = JobStatus::default();
        let look = |job: &Job, released: &[&str], status: &mut JobStatus| {
            let released = released.iter().map(|uid| (*uid).to_owned()).collect();
            let scene = Scene { job, pods: &pods, released: &released, now: Timestamp::UNIX_EPOCH };
            let found = assess(&scene);
            let tracked = track(&scene, &found, None, status);
            (tracked.release.len(), found.succeeded)
        };
        assert_eq!(look(&job, &[], &mut status), (2, 1));
        assert_eq!(counts(&status), json!([null, null, {"succeeded": ["a"], "failed": ["b"]}]));
        // A crash before the finalizers went: the same pods are noted once only.
        let again = Job { status: Some(status.clone()), ..job.clone() };
        assert_eq!(look(&again, &[], &mut status), (2, 1));
        assert_eq!(counts(&status), json!([null, null, {"succeeded": ["a"], "failed": ["b"]}]));
        // The finalizers have gone.
        assert_eq!(look(&again, &["a", "b"], &mut status), (0, 1));
        assert_eq!(counts(&status), json!([1, 1, {}]));
    }

    #[test]
    fn an_end_is_announced_then_concluded() {
        let mut status = JobStatus { terminating: Some(1), ..JobStatus::default() };
        let target = new_condition(FAILURE_TARGET, true, "DeadlineExceeded", "late", Timestamp::UNIX_EPOCH);
        let last = announce(target, &mut status);
        assert_eq!((last.type_.as_str(), last.reason.as_deref()), ("Failed", Some("DeadlineExceeded")));
        assert!(!conclude(&last, &mut status));
        status.terminating = Some(0);
        assert!(conclude(&last, &mut status));
        let kinds: Vec<_> = status.conditions.expect("set").into_iter().map(|c| c.type_).collect();
        assert_eq!(kinds, [FAILURE_TARGET, "Failed"]);
    }
}
