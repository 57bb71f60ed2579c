//! What a Job reads off its pods: index, finalizer, failure, when they finished.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::Pod;

use crate::pods;

/// Held by each pod until its end is counted.
pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

pub(super) fn spec(job: &Job) -> JobSpec {
    job.spec.clone().unwrap_or_default()
}

pub(super) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Whether a pod is replaced only once it has ended, not when it begins to.
pub(super) fn only_replaces_failed(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed") || spec.pod_failure_policy.is_some()
}

pub(super) fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The pod's completion index; none where it has none, or one that is no index.
pub(super) fn index(pod: &Pod) -> Option<i32> {
    annotation(pod, INDEX)?.parse().ok().filter(|index| *index >= 0)
}

/// The index where the job has it.
pub(super) fn valid_index(pod: &Pod, spec: &JobSpec) -> Option<i32> {
    index(pod).filter(|index| *index < spec.completions.unwrap_or(0))
}

/// Anyone may write annotations: what is no count is zero, as upstream has it.
fn count(pod: &Pod, key: &str) -> i32 {
    annotation(pod, key).and_then(|text| text.parse().ok()).filter(|count| *count >= 0).unwrap_or(0)
}

/// Failures of the pod's index before this pod: those that count, and those that a policy ignores.
pub(super) fn failures_before(pod: &Pod) -> (i32, i32) {
    (count(pod, FAILURES), count(pod, IGNORED_FAILURES))
}

pub(super) fn has_failed(pod: &Pod, spec: &JobSpec) -> bool {
    let phase = pods::phase(pod);
    phase == "Failed" || (!only_replaces_failed(spec) && pods::is_terminating(pod) && phase != "Succeeded")
}

/// When the last container ended; for a pod that never ran, when it was told to end.
///
/// Upstream: backoff_utils.go, `getFinishedTime`.
pub(super) fn finished_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let ended = statuses.filter(|all| !all.is_empty()).and_then(|all| {
        let ends = all.iter().map(|c| Some(c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0));
        ends.collect::<Option<Vec<_>>>()?.into_iter().max()
    });
    let ready = || pods::condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0);
    let deleted = || {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let at = pod.metadata.deletion_timestamp.as_ref()?.0;
        at.checked_sub(jiff::SignedDuration::from_secs(grace)).ok()
    };
    ended.or_else(ready).or_else(deleted).or(pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}
