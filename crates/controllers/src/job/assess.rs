//! Where a Job stands: what is done, what has failed, whether that ends it. Pure.
//!
//! Upstream: pkg/controller/job/job_controller.go, the first half of `syncJob`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::intervals::Intervals;
use super::pod::{
    failures_before, finished_at, has_failed, index, is_indexed, is_tracked, spec, valid_index,
};
use super::policy::{self, Verdict};
use crate::pods;

pub(super) const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
pub(super) const FAILURE_TARGET: &str = "FailureTarget";

/// What is known of a Job at one moment.
pub(super) struct Scene<'a> {
    pub job: &'a Job,
    pub pods: &'a [Arc<Pod>],
    /// Pods whose finalizer we have removed, though the cache still shows it.
    pub released: &'a HashSet<String>,
    pub now: Timestamp,
}

/// What follows from it.
#[derive(Debug, Default)]
pub(super) struct Assessment {
    pub succeeded: i32,
    /// Ended since the last count.
    pub new_succeeded: Vec<Arc<Pod>>,
    pub new_failed: Vec<Arc<Pod>>,
    /// The condition that ends the job: an interim one, or Failed where FailureTarget stands already.
    pub finish: Option<JobCondition>,
    /// How long until the deadline, where one runs.
    pub deadline: Option<Duration>,
    /// Of an Indexed job: what its status says, and that with what has succeeded since.
    pub counted_indexes: Intervals,
    pub succeeded_indexes: Intervals,
    /// Where failures are limited per index.
    pub failed_indexes: Option<Intervals>,
    /// Per index the failed pod that is kept until its successor has taken over its count of failures.
    pub delayed: BTreeMap<i32, Arc<Pod>>,
}

pub(super) fn assess(scene: &Scene<'_>) -> Assessment {
    let spec = spec(scene.job);
    let mut found = Assessment::default();
    let failed = scene.count(&spec, &mut found);
    found.finish = scene.policy_end().or_else(|| scene.limit_end(&spec, failed));
    if found.finish.is_none() {
        found.deadline = scene.deadline(&spec);
    }
    if is_indexed(&spec) {
        scene.count_indexes(&spec, &mut found);
    }
    found
}

impl Scene<'_> {
    fn status_uids(&self, failed: Failed) -> HashSet<&str> {
        let uncounted = self.job.status.as_ref().and_then(|s| s.uncounted_terminated_pods.as_ref());
        let list = uncounted
            .and_then(|u| if failed == Failed::Yes { u.failed.as_ref() } else { u.succeeded.as_ref() });
        list.into_iter().flatten().map(String::as_str).collect()
    }

    /// Pods that are not counted yet, and of an Indexed job have an index that it has.
    fn uncounted(&self, spec: &JobSpec) -> impl Iterator<Item = &Arc<Pod>> {
        let indexed = is_indexed(spec);
        self.pods.iter().filter(move |pod| {
            is_tracked(pod) && !self.is_released(pod) && (!indexed || valid_index(pod, spec).is_some())
        })
    }

    pub fn is_released(&self, pod: &Pod) -> bool {
        pod.metadata.uid.as_ref().is_some_and(|uid| self.released.contains(uid))
    }

    /// Counts ends, and gives the number of failures.
    fn count(&self, spec: &JobSpec, found: &mut Assessment) -> i32 {
        let (good, bad) = (self.status_uids(Failed::No), self.status_uids(Failed::Yes));
        let among =
            |uids: &HashSet<&str>, pod: &Pod| uids.contains(pod.metadata.uid.as_deref().unwrap_or_default());
        for pod in self.uncounted(spec) {
            if pods::phase(pod) == "Succeeded" && !among(&good, pod) {
                found.new_succeeded.push(pod.clone());
            }
            if has_failed(pod, spec) && !among(&bad, pod) {
                found.new_failed.push(pod.clone());
            }
        }
        let status = self.job.status.clone().unwrap_or_default();
        found.succeeded = status.succeeded.unwrap_or(0) + (found.new_succeeded.len() + good.len()) as i32;
        let counting = found.new_failed.iter().filter(|pod| policy::judge(self.job, pod).counts()).count();
        status.failed.unwrap_or(0) + (counting + bad.len()) as i32
    }

    /// The end that is written already, or that the pod failure policy asks for.
    fn policy_end(&self) -> Option<JobCondition> {
        if let Some(met) = condition(self.job, SUCCESS_CRITERIA_MET) {
            return Some(met.clone());
        }
        if let Some(target) = condition(self.job, FAILURE_TARGET) {
            return Some(self.end("Failed", target.reason.as_deref(), target.message.as_deref()));
        }
        let spec = self.job.spec.as_ref().filter(|spec| spec.pod_failure_policy.is_some())?;
        let failed = self.pods.iter().filter(|pod| has_failed(pod, spec));
        let why = failed.into_iter().find_map(|pod| match policy::judge(self.job, pod) {
            Verdict::FailJob(why) => Some(why),
            _ => None,
        })?;
        Some(self.end(FAILURE_TARGET, Some("PodFailurePolicy"), Some(&why)))
    }

    fn limit_end(&self, spec: &JobSpec, failed: i32) -> Option<JobCondition> {
        let end = |reason, message| Some(self.end(FAILURE_TARGET, Some(reason), Some(message)));
        if failed > spec.backoff_limit.unwrap_or(6) || self.restarts_exceed(spec) {
            return end("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if self.runs_for(spec).is_some_and(|ran| ran >= allowed(spec)) {
            return end("DeadlineExceeded", "Job was active longer than specified deadline");
        }
        None
    }

    /// With restartPolicy OnFailure the containers' restarts count.
    fn restarts_exceed(&self, spec: &JobSpec) -> bool {
        let policy = spec.template.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        if policy != Some("OnFailure") {
            return false;
        }
        let running = self.pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
        let statuses = running.filter_map(|pod| pod.status.as_ref());
        let restarts: i32 = statuses
            .flat_map(|s| s.container_statuses.iter().chain(&s.init_container_statuses).flatten())
            .map(|container| container.restart_count)
            .sum();
        let limit = spec.backoff_limit.unwrap_or(6);
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }

    /// How long the job has run, where a deadline watches that.
    fn runs_for(&self, spec: &JobSpec) -> Option<Duration> {
        spec.active_deadline_seconds.filter(|_| spec.suspend != Some(true))?;
        let start = self.job.status.as_ref()?.start_time.as_ref()?.0;
        // A start in the future, by another machine's clock, has run no time.
        Some(Duration::try_from(self.now.duration_since(start)).unwrap_or_default())
    }

    fn deadline(&self, spec: &JobSpec) -> Option<Duration> {
        spec.active_deadline_seconds.filter(|_| spec.suspend != Some(true))?;
        let ran = self.runs_for(spec).unwrap_or_default();
        allowed(spec).checked_sub(ran)
    }

    fn count_indexes(&self, spec: &JobSpec, found: &mut Assessment) {
        let completions = spec.completions.unwrap_or(0);
        let status = self.job.status.clone().unwrap_or_default();
        found.counted_indexes = Intervals::parse(&status.completed_indexes.unwrap_or_default(), completions);
        let fresh: BTreeSet<i32> = self
            .pods
            .iter()
            .filter(|pod| pods::phase(pod) == "Succeeded" && is_tracked(pod))
            .filter_map(|pod| valid_index(pod, spec))
            .collect();
        found.succeeded_indexes = found.counted_indexes.clone().with(fresh);
        found.succeeded = found.succeeded_indexes.total();
        if let Some(limit) = spec.backoff_limit_per_index {
            let before = Intervals::parse(&status.failed_indexes.unwrap_or_default(), completions);
            let failed = before.with(self.failed_indexes(spec, limit));
            found.finish = found.finish.take().or_else(|| self.index_end(spec, &failed, found.succeeded));
            found.delayed = self.delayed(spec, &found.succeeded_indexes, &failed);
            found.failed_indexes = Some(failed);
        }
        if found.finish.is_none() {
            let met = policy::success(spec.success_policy.as_ref(), completions, &found.succeeded_indexes);
            found.finish =
                met.map(|message| self.end(SUCCESS_CRITERIA_MET, Some("SuccessPolicy"), Some(&message)));
        }
    }

    fn failed_indexes(&self, spec: &JobSpec, limit: i32) -> BTreeSet<i32> {
        let failed = self.pods.iter().filter(|pod| is_tracked(pod) && has_failed(pod, spec));
        let given_up = failed.filter(|pod| match policy::judge(self.job, pod) {
            Verdict::FailIndex => true,
            verdict => verdict.counts() && failures_before(pod).0 >= limit,
        });
        given_up.filter_map(|pod| valid_index(pod, spec)).collect()
    }

    fn index_end(&self, spec: &JobSpec, failed: &Intervals, succeeded: i32) -> Option<JobCondition> {
        let total = failed.total();
        if spec.max_failed_indexes.is_some_and(|most| total > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(self.end(FAILURE_TARGET, Some("MaxFailedIndexesExceeded"), Some(message)));
        }
        let all_ended = total > 0 && total + succeeded >= spec.completions.unwrap_or(0);
        all_ended.then(|| self.end(FAILURE_TARGET, Some("FailedIndexes"), Some("Job has failed indexes")))
    }

    fn delayed(&self, spec: &JobSpec, succeeded: &Intervals, failed: &Intervals) -> BTreeMap<i32, Arc<Pod>> {
        let active: BTreeSet<i32> =
            self.pods.iter().filter(|pod| pods::is_active(pod)).filter_map(|pod| index(pod)).collect();
        let mut latest: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        let rank = |pod: &Pod| {
            let (counted, ignored) = failures_before(pod);
            (counted.saturating_add(ignored), finished_at(pod))
        };
        for pod in self.uncounted(spec).filter(|pod| has_failed(pod, spec)) {
            let Some(index) = valid_index(pod, spec) else { continue };
            if succeeded.has(index) || failed.has(index) || active.contains(&index) {
                continue;
            }
            if latest.get(&index).is_none_or(|other| rank(pod) >= rank(other)) {
                latest.insert(index, pod.clone());
            }
        }
        latest
    }

    fn end(&self, kind: &str, reason: Option<&str>, message: Option<&str>) -> JobCondition {
        new_condition(kind, true, reason.unwrap_or_default(), message.unwrap_or_default(), self.now)
    }
}

#[derive(PartialEq)]
enum Failed {
    Yes,
    No,
}

fn allowed(spec: &JobSpec) -> Duration {
    Duration::from_secs(spec.active_deadline_seconds.unwrap_or(0).max(0) as u64)
}

pub(super) fn condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
}

pub(super) fn new_condition(
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> JobCondition {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    JobCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: text(reason),
        message: text(message),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Complete or Failed: nothing happens to it any more.
pub(crate) fn is_finished(job: &Job) -> bool {
    condition(job, "Complete").or(condition(job, "Failed")).is_some()
}

/// Runs under somebody else's controller.
pub(super) fn is_foreign(job: &Job) -> bool {
    let manager = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
    manager.is_some_and(|manager| manager != "kubernetes.io/job-controller")
}
