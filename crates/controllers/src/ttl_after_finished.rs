//! Deletes Jobs some time after they have finished.
//!
//! Upstream: pkg/controller/ttlafterfinished.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use crate::context::Context;

struct Reconciler {
    context: Context,
    jobs: Store<Job>,
}

pub(crate) async fn start(context: Context) {
    let jobs = context.hub.store::<Job>();
    if !jobs.synced().await {
        return;
    }
    Controller::new("ttl-after-finished", &context.hub)
        .reconciles(&jobs)
        .run(Arc::new(Reconciler { context, jobs }));
}

/// When a finished job is to go; none where it may stay.
fn end(job: &Job) -> Option<Timestamp> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let finished = conditions
        .iter()
        .find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    Some(finished.last_transition_time.as_ref()?.0 + Duration::from_secs(ttl.max(0) as u64))
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let now = self.context.clock.now();
        let Some(end) = self.jobs.get(key).and_then(|job| end(&job)) else { return Ok(Next::AwaitChange) };
        if let Some(left) = left(end, now) {
            return Ok(Next::After(left));
        }
        // The cached job may be old: its time to live may have been changed at the last moment.
        let api: Api<Job> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let Some(fresh) = api.get_opt(&key.name).await? else { return Ok(Next::AwaitChange) };
        if self::end(&fresh).is_none_or(|end| left(end, now).is_some()) {
            return Ok(Next::AwaitChange);
        }
        let same =
            Preconditions { uid: fresh.metadata.uid, resource_version: fresh.metadata.resource_version };
        let options = DeleteParams::foreground().preconditions(same);
        match api.delete(&key.name, &options).await {
            Err(error) if !client::is_not_found(&error) => Err(error.into()),
            _ => Ok(Next::AwaitChange),
        }
    }
}

fn left(end: Timestamp, now: Timestamp) -> Option<Duration> {
    // A negative time has passed.
    Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn end_of(spec: Value, conditions: Value) -> Option<i64> {
        let mut job = json!({"metadata": {"name": "j"}, "spec": {"template": {}}, "status": {"conditions": conditions}});
        job["spec"].as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
        end(&serde_json::from_value(job).expect("a job")).map(|end| end.as_second())
    }

    #[test]
    fn only_finished_jobs_with_a_time_to_live_go() {
        let done = |kind: &str, status: &str| json!([{"type": kind, "status": status, "lastTransitionTime": "1970-01-01T00:00:10Z"}]);
        let ttl = json!({"ttlSecondsAfterFinished": 5});
        assert_eq!(end_of(ttl.clone(), done("Complete", "True")), Some(15));
        assert_eq!(end_of(ttl.clone(), done("Failed", "True")), Some(15));
        assert_eq!(end_of(ttl.clone(), done("FailureTarget", "True")), None);
        assert_eq!(end_of(ttl, done("Failed", "False")), None);
        assert_eq!(end_of(json!({}), done("Complete", "True")), None);
    }
}
