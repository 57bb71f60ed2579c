//! Frees pods whose Job is gone or over from the finalizer that nobody would remove any more.
//!
//! Upstream: pkg/controller/job/job_controller.go, `syncOrphanPod`.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::assess::{is_finished, is_foreign};
use super::pod::is_tracked;
use super::reconciler::{job_of, release};
use crate::context::Context;
use crate::owners;

struct Orphans {
    context: Context,
    jobs: Store<Job>,
    pods: Store<Pod>,
}

pub(super) fn start(context: &Context, jobs: &Store<Job>, pods: &Store<Pod>) {
    let (known, owned) = (jobs.clone(), pods.clone());
    Controller::new("job-orphans", &context.hub)
        .watches(pods, move |change| match change {
            Change::Applied { new, .. } if is_orphan(new, &known) => vec![Key::of(&**new)],
            _ => Vec::new(),
        })
        .watches(jobs, move |change| {
            let job = change.object();
            if matches!(change, Change::Applied { .. }) && !is_finished(job) {
                return Vec::new();
            }
            let uid = job.metadata.uid.as_deref().unwrap_or_default();
            owned.owned_by(uid).iter().filter(|pod| is_tracked(pod)).map(|pod| Key::of(&**pod)).collect()
        })
        .run(Arc::new(Orphans { context: context.clone(), jobs: jobs.clone(), pods: pods.clone() }));
}

/// Holds the finalizer, and no job that still counts owns it.
fn is_orphan(pod: &Pod, jobs: &Store<Job>) -> bool {
    if !is_tracked(pod) {
        return false;
    }
    let Some(owner) = owners::controller_of(pod) else { return true };
    let Some(key) = job_of(pod) else { return true };
    match jobs.get(&key).filter(|job| job.metadata.uid.as_ref() == Some(&owner.uid)) {
        Some(job) => is_finished(&job) && !is_foreign(&job),
        None => true,
    }
}

#[async_trait]
impl Reconcile for Orphans {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        if let Some(pod) = self.pods.get(key)
            && is_orphan(&pod, &self.jobs)
        {
            release(&self.context, &pod).await?;
        }
        Ok(Next::AwaitChange)
    }
}
