//! What a Deployment tells of itself: counts and conditions.
//!
//! Upstream: deployment/progress.go, sync.go `calculateStatus`.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::sets::{Sets, desired, existing, fence, ready};

pub(super) const AVAILABLE: &str = "Available";
pub(super) const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
pub(super) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The counts and the availability that the sets give, with the other conditions as they were.
pub(super) fn calculate(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
    let old = deployment.status.clone().unwrap_or_default();
    let (desired, available) = (desired(deployment), sets.total_available());
    let sum = |count: fn(&k8s_openapi::api::apps::v1::ReplicaSet) -> i32| -> i32 {
        sets.all().map(|s| count(s)).sum()
    };
    let terminating = sets.all().filter_map(|set| set.status.as_ref()?.terminating_replicas).sum();
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(existing)),
        updated_replicas: some(sets.new.as_ref().map_or(0, |new| existing(new))),
        ready_replicas: some(sum(ready)),
        available_replicas: some(available),
        unavailable_replicas: some((sets.total_wanted() - available).max(0)),
        terminating_replicas: Some(terminating),
        collision_count: old.collision_count,
        conditions: old.conditions,
    };
    let enough = available >= desired - fence(deployment).unavailable;
    let availability = if enough {
        condition(
            AVAILABLE,
            true,
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.".into(),
            now,
        )
    } else {
        let message = "Deployment does not have minimum availability.".into();
        condition(AVAILABLE, false, "MinimumReplicasUnavailable", message, now)
    };
    set_condition(&mut status, availability);
    status
}

fn some(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

/// Adds what the rollout's progress tells.
pub(super) fn report_progress(
    deployment: &Deployment,
    sets: &Sets,
    status: &mut DeploymentStatus,
    now: Timestamp,
) {
    let current = find(status, PROGRESSING).cloned();
    let done = current.as_ref().is_some_and(|c| c.reason.as_deref() == Some(NEW_SET_AVAILABLE))
        && status.replicas == status.updated_replicas;
    if deadline(deployment).is_none() {
        remove(status, PROGRESSING);
    } else if !done {
        let subject = subject(deployment, sets);
        if is_complete(deployment, status) {
            let message = format!("{subject} has successfully progressed.");
            set_condition(status, condition(PROGRESSING, true, NEW_SET_AVAILABLE, message, now));
        } else if has_progressed(deployment, status) {
            let message = format!("{subject} is progressing.");
            let mut fresh = condition(PROGRESSING, true, "ReplicaSetUpdated", message, now);
            if let Some(current) = current.filter(|current| current.status == "True") {
                fresh.last_transition_time = current.last_transition_time;
            }
            remove(status, PROGRESSING);
            set_condition(status, fresh);
        } else if is_timed_out(deployment, status, now) {
            let message = format!("{subject} has timed out progressing.");
            set_condition(status, condition(PROGRESSING, false, TIMED_OUT, message, now));
        }
    }
    copy_failure(sets, status, now);
}

fn subject(deployment: &Deployment, sets: &Sets) -> String {
    match sets.new.as_ref().and_then(|new| new.metadata.name.as_deref()) {
        Some(name) => format!("ReplicaSet \"{name}\""),
        None => format!("Deployment \"{}\"", deployment.metadata.name.as_deref().unwrap_or_default()),
    }
}

fn copy_failure(sets: &Sets, status: &mut DeploymentStatus, now: Timestamp) {
    let failures = |set: &std::sync::Arc<k8s_openapi::api::apps::v1::ReplicaSet>| {
        let conditions = set.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions.into_iter().find(|condition| condition.type_ == REPLICA_FAILURE)
    };
    let newest_first = sets.new.iter().chain(sets.old.iter());
    match newest_first.into_iter().find_map(failures) {
        Some(failure) => {
            let (reason, message) = (failure.reason.unwrap_or_default(), failure.message.unwrap_or_default());
            set_condition(status, condition(REPLICA_FAILURE, true, &reason, message, now));
        }
        None => remove(status, REPLICA_FAILURE),
    }
}

/// All replicas are of the new template, and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let desired = some(desired(deployment));
    status.updated_replicas == desired
        && status.replicas == desired
        && status.available_replicas == desired
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(deployment: &Deployment, new: &DeploymentStatus) -> bool {
    let old = deployment.status.clone().unwrap_or_default();
    let n = |count: Option<i32>| count.unwrap_or(0);
    n(new.updated_replicas) > n(old.updated_replicas)
        || n(new.replicas) - n(new.updated_replicas) < n(old.replicas) - n(old.updated_replicas)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

/// Seconds until a rollout without progress counts as stuck; none where that never happens.
pub(super) fn deadline(deployment: &Deployment) -> Option<i32> {
    let seconds = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds);
    seconds.filter(|seconds| *seconds != i32::MAX)
}

fn is_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let Some(current) = find(status, PROGRESSING) else { return false };
    match current.reason.as_deref() {
        Some(NEW_SET_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => left(deployment, status, now).is_some_and(|left| left < 0),
    }
}

/// Seconds left until the deadline of a rollout under way; negative when it has passed.
pub(super) fn left(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Option<i64> {
    let since = find(status, PROGRESSING)?.last_update_time.as_ref()?.0;
    Some(since.as_second() + i64::from(deadline(deployment)?) - now.as_second())
}

pub(super) fn condition(
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

pub(super) fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

pub(super) fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// Sets a condition; one that says the same already stays as it is.
pub(super) fn set_condition(status: &mut DeploymentStatus, mut fresh: DeploymentCondition) {
    if let Some(old) = find(status, &fresh.type_) {
        if old.status == fresh.status && old.reason == fresh.reason {
            return;
        }
        if old.status == fresh.status {
            fresh.last_transition_time = old.last_transition_time.clone();
        }
    }
    remove(status, &fresh.type_.clone());
    status.conditions.get_or_insert_default().push(fresh);
}

#[cfg(test)]
mod tests {
    use super::super::sets::test::{deployment, set};
    use super::*;

    fn reported(deployment: &Deployment, sets: &Sets, now: Timestamp) -> DeploymentStatus {
        let mut status = calculate(deployment, sets, now);
        report_progress(deployment, sets, &mut status, now);
        status
    }

    #[test]
    fn a_rollout_progresses_completes_and_stays_complete() {
        let now = Timestamp::UNIX_EPOCH;
        let mut deployment = deployment(2, "1", "0");
        deployment.spec.as_mut().expect("has one").progress_deadline_seconds = Some(600);
        let sets = |available| Sets { new: Some(set("new", 2, available)), old: vec![] };
        let mut reasons = Vec::new();
        for available in [1, 2, 1] {
            let status = reported(&deployment, &sets(available), now);
            reasons.push(find(&status, PROGRESSING).and_then(|c| c.reason.clone()).expect("reported"));
            deployment.status = Some(status);
        }
        assert_eq!(reasons, ["ReplicaSetUpdated", NEW_SET_AVAILABLE, NEW_SET_AVAILABLE]);
    }

    #[test]
    fn a_stuck_rollout_times_out() {
        let mut deployment = deployment(2, "1", "0");
        deployment.spec.as_mut().expect("has one").progress_deadline_seconds = Some(10);
        let sets = Sets { new: Some(set("new", 2, 1)), old: vec![] };
        deployment.status = Some(reported(&deployment, &sets, Timestamp::UNIX_EPOCH));
        let late = Timestamp::from_second(11).expect("in range");
        let status = reported(&deployment, &sets, late);
        let progress = find(&status, PROGRESSING).expect("reported");
        assert_eq!((progress.status.as_str(), progress.reason.as_deref()), ("False", Some(TIMED_OUT)));
    }
}
