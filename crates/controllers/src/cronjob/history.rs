//! What a CronJob's status says of its jobs, and which finished ones are too many. Pure.

use std::cmp::Reverse;
use std::sync::Arc;

use client::{EventType, reference};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;

use crate::job::is_finished;

/// What is told of the cron job.
pub(super) type Saying = (EventType, &'static str, String);

/// Brings `status.active` in line with the jobs.
pub(super) fn review(status: &mut CronJobStatus, jobs: &[Arc<Job>]) -> Vec<Saying> {
    let mut said = Vec::new();
    for job in jobs {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let known = is_active(status, job);
        if !known && !is_finished(job) {
            let message = format!("Saw a job that the controller did not create or forgot: {name}");
            said.push((EventType::Warning, "UnexpectedJob", message));
        } else if known && is_finished(job) {
            forget(status, job.metadata.uid.as_deref());
            let end = if succeeded(job) { "Complete" } else { "Failed" };
            said.push((
                EventType::Normal,
                "SawCompletedJob",
                format!("Saw completed job: {name}, condition: {end}"),
            ));
        }
        if succeeded(job) {
            let ended = job.status.as_ref().and_then(|status| status.completion_time.clone());
            if ended.as_ref().map(|time| time.0) > status.last_successful_time.as_ref().map(|time| time.0) {
                status.last_successful_time = ended;
            }
        }
    }
    let active = status.active.clone().unwrap_or_default();
    for gone in active.iter().filter(|active| jobs.iter().all(|job| job.metadata.uid != active.uid)) {
        let name = gone.name.as_deref().unwrap_or_default();
        said.push((EventType::Normal, "MissingJob", format!("Active job went missing: {name}")));
        forget(status, gone.uid.as_deref());
    }
    said
}

fn is_active(status: &CronJobStatus, job: &Job) -> bool {
    status.active.iter().flatten().any(|active| active.uid == job.metadata.uid)
}

pub(super) fn forget(status: &mut CronJobStatus, uid: Option<&str>) {
    if let Some(active) = &mut status.active {
        active.retain(|active| active.uid.as_deref() != uid);
    }
    status.active = status.active.take().filter(|active| !active.is_empty());
}

pub(super) fn note(status: &mut CronJobStatus, job: &Job) {
    let reference =
        ObjectReference { resource_version: job.metadata.resource_version.clone(), ..reference(job) };
    if !is_active(status, job) {
        status.active.get_or_insert_default().push(reference);
    }
}

fn succeeded(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Complete" && c.status == "True")
}

/// Finished jobs beyond the limits, the oldest first.
pub(super) fn surplus(cron: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let spec = &cron.spec;
    let beyond = |limit: Option<i32>, good: bool| {
        let mut some: Vec<_> =
            jobs.iter().filter(|job| is_finished(job) && succeeded(job) == good).cloned().collect();
        some.sort_by_key(|job| {
            let started =
                job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
            Reverse((started, job.metadata.name.clone()))
        });
        let keep = limit.map_or(some.len(), |limit| limit.max(0) as usize);
        some.into_iter().skip(keep).rev().collect::<Vec<_>>()
    };
    [beyond(spec.failed_jobs_history_limit, false), beyond(spec.successful_jobs_history_limit, true)].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str, end: &str, minute: u32) -> Arc<Job> {
        let conditions = (!end.is_empty()).then(|| json!([{"type": end, "status": "True"}]));
        let time = format!("2026-01-01T00:{minute:02}:00Z");
        let job = json!({"metadata": {"name": name, "uid": name}, "spec": {"template": {}},
            "status": {"startTime": time, "completionTime": (end == "Complete").then_some(time.clone()), "conditions": conditions}});
        Arc::new(serde_json::from_value(job).expect("a job"))
    }

    #[test]
    fn the_list_of_active_jobs_follows() {
        let mut status = CronJobStatus::default();
        for name in ["done", "gone", "runs"] {
            note(&mut status, &job(name, "", 1));
        }
        let said =
            review(&mut status, &[job("done", "Complete", 1), job("runs", "", 2), job("manual", "", 3)]);
        let words: Vec<_> = said.iter().map(|(_, reason, message)| format!("{reason}: {message}")).collect();
        assert_eq!(
            words,
            [
                "SawCompletedJob: Saw completed job: done, condition: Complete",
                "UnexpectedJob: Saw a job that the controller did not create or forgot: manual",
                "MissingJob: Active job went missing: gone",
            ]
        );
        let active: Vec<_> =
            status.active.iter().flatten().filter_map(|active| active.name.clone()).collect();
        assert_eq!(active, ["runs"]);
        assert_eq!(status.last_successful_time.expect("set").0.to_string(), "2026-01-01T00:01:00Z");
    }

    #[test]
    fn the_oldest_finished_jobs_go() {
        let cron = json!({"metadata": {"name": "c"}, "spec": {"schedule": "", "jobTemplate": {},
            "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}});
        let cron = serde_json::from_value(cron).expect("a cron job");
        let jobs = [job("a", "Complete", 1), job("b", "Complete", 2), job("c", "Failed", 3), job("d", "", 4)];
        let names: Vec<_> =
            surplus(&cron, &jobs).iter().filter_map(|job| job.metadata.name.clone()).collect();
        assert_eq!(names, ["c", "a"]);
    }
}
