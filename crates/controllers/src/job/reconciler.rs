//! Reads a Job and its pods, decides, acts, counts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Expectations, Key, Next, Reconcile, Store, reference};
use futures::future::join_all;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;

use super::assess::{
    Assessment, SUCCESS_CRITERIA_MET, Scene, assess, is_finished, is_foreign, new_condition,
};
use super::backoff::Backoff;
use super::plan::{Plan, is_ending, plan};
use super::pod::{FINALIZER, is_tracked, spec};
use super::track::{announce, conclude, set_condition, settle, some, track};
use super::{orphans, template};
use crate::context::Context;
use crate::freshness::Written;
use crate::pod_control::PodControl;
use crate::slow_start::slow_start;
use crate::{owners, pods, selector};

struct Reconciler {
    context: Context,
    jobs: Store<Job>,
    pods: Store<Pod>,
    expectations: Arc<Expectations>,
    /// UIDs of pods whose finalizer went, until the cache shows it.
    released: Arc<Mutex<HashSet<String>>>,
    backoffs: Mutex<HashMap<Key, Backoff>>,
    written: Written,
}

pub(crate) async fn start(context: Context) {
    let (jobs, pods) = (context.hub.store::<Job>(), context.hub.store::<Pod>());
    if !(jobs.synced().await && pods.synced().await) {
        return;
    }
    let expectations = Arc::new(Expectations::new(context.clock.clone()));
    let released = Arc::new(Mutex::new(HashSet::new()));
    let (seen, gone, all) = (expectations.clone(), released.clone(), jobs.clone());
    orphans::start(&context, &jobs, &pods);
    Controller::new("job", &context.hub)
        .reconciles(&jobs)
        .watches(&pods, move |change| pod_changed(change, &seen, &gone, &all))
        .run(Arc::new(Reconciler {
            context,
            jobs,
            pods,
            expectations,
            released,
            backoffs: Mutex::default(),
            written: Written::default(),
        }));
}

pub(super) fn job_of(pod: &Pod) -> Option<Key> {
    let owner = owners::controller_of(pod).filter(|owner| owner.kind == "Job")?;
    Some(Key::new(pod.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()))
}

/// Observes what was expected, and names the jobs that a pod concerns: its owner, or those that would adopt it.
fn pod_changed(
    change: &Change<Pod>,
    seen: &Expectations,
    released: &Mutex<HashSet<String>>,
    jobs: &Store<Job>,
) -> Vec<Key> {
    let pod = change.object();
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if !is_tracked(pod) || matches!(change, Change::Deleted(_)) {
        released.lock().remove(uid);
    }
    let Some(owner) = job_of(pod) else {
        let was = match change {
            Change::Applied { old: Some(old), .. } => job_of(old),
            _ => None,
        };
        return was.into_iter().chain(adopters(pod, jobs)).collect();
    };
    if matches!(change, Change::Applied { old: None, .. }) {
        seen.creation_observed(&owner);
    }
    if matches!(change, Change::Deleted(_)) || pods::is_terminating(pod) {
        seen.deletion_observed(&owner, uid);
    }
    vec![owner]
}

fn adopters<'a>(pod: &'a Pod, jobs: &Store<Job>) -> impl Iterator<Item = Key> + use<'a> {
    let all = jobs.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default());
    let orphan = owners::controller_of(pod).is_none();
    let selected = move |job: &Arc<Job>| {
        let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        orphan && selector.is_some_and(|s| selector::matches(s, pod.metadata.labels.as_ref()))
    };
    all.into_iter().filter(selected).map(|job| Key::of(&*job))
}

/// Takes the tracking finalizer off a pod. One that is gone needs nothing.
pub(super) async fn release(context: &Context, pod: &Pod) -> kube::Result<()> {
    let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace.unwrap_or_default());
    let patch =
        json!({"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    match api.patch(name.unwrap_or_default(), &PatchParams::default(), &Patch::Strategic(patch)).await {
        // A conflict is a namesake: ours is gone.
        Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => Ok(()),
        result => result.map(|_| ()),
    }
}

/// One reconciliation: the job, what it owns, and the status that it will have.
struct Work<'a> {
    key: &'a Key,
    job: Arc<Job>,
    spec: JobSpec,
    control: PodControl,
    owned: Vec<Arc<Pod>>,
    status: JobStatus,
    next: Option<Duration>,
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let job = self.jobs.get(key);
        let Some(job) = job.filter(|job| !is_finished(job) && !is_foreign(job)) else {
            self.forget(key);
            return Ok(Next::AwaitChange);
        };
        if self.written.is_stale(key, &*job) {
            return Ok(Next::AwaitChange);
        }
        // Asked before the pods are read: what is seen afterwards is then part of what was read.
        let settled = self.expectations.satisfied(key);
        let owned = self.owned(&job).await?;
        let mut status = job.status.clone().unwrap_or_default();
        status.uncounted_terminated_pods.get_or_insert_default();
        let spec = spec(&job);
        if status.start_time.is_none() && spec.suspend != Some(true) {
            status.start_time = Some(Time(self.context.clock.now()));
        }
        let control = PodControl::new(&self.context, reference(&*job));
        let mut work = Work { key, job, spec, control, owned, status, next: None };
        self.sync(&mut work, settled).await?;
        Ok(work.next.map_or(Next::AwaitChange, Next::After))
    }
}

impl Reconciler {
    fn forget(&self, key: &Key) {
        self.backoffs.lock().remove(key);
        if self.jobs.get(key).is_none() {
            self.expectations.forget(key);
            self.written.forget(key);
        }
    }

    async fn owned(&self, job: &Job) -> kube::Result<Vec<Arc<Pod>>> {
        let key = Key::of(job);
        let Some(selector) = job.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
            return Ok(Vec::new());
        };
        let claim = owners::claim(job, selector, self.pods.in_namespace(&key.namespace));
        let adopt = claim.adopt.clone();
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let jobs: Api<Job> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let live = async {
            let live = jobs.get_opt(&key.name).await?;
            Ok(live.is_some_and(|live| {
                live.metadata.uid == job.metadata.uid && live.metadata.deletion_timestamp.is_none()
            }))
        };
        let owned = claim.settle(&api, &owners::controller_ref(job), live).await?;
        for pod in adopt.iter().filter(|pod| !is_tracked(pod) && !pods::is_terminating(pod)) {
            let patch = json!({"metadata": {"uid": pod.metadata.uid, "finalizers": [FINALIZER]}});
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        }
        Ok(owned)
    }

    async fn sync(&self, work: &mut Work<'_>, settled: bool) -> kube::Result<()> {
        let now = self.context.clock.now();
        let released = self.released.lock().clone();
        let job = Job { status: Some(work.status.clone()), ..(*work.job).clone() };
        let owned = work.owned.clone();
        let scene = Scene { job: &job, pods: &owned, released: &released, now };
        let mut found = assess(&scene);
        work.next = found.deadline;
        let known = self.backoffs.lock().get(work.key).copied().unwrap_or_default();
        let backoff =
            known.after(found.new_succeeded.iter().map(|p| &**p), found.new_failed.iter().map(|p| &**p));
        self.note_counts(work);
        let outcome = match found.finish.take() {
            Some(finish) => self.end(work, finish, settled, &mut found).await,
            None => self.go_on(work, &mut found, backoff, settled).await,
        };
        self.count(work, &scene, &found, backoff).await?;
        outcome
    }

    fn note_counts(&self, work: &mut Work<'_>) {
        let active: Vec<_> = work.owned.iter().filter(|pod| pods::is_active(pod)).collect();
        work.status.active = some(active.len() as i32);
        work.status.ready = Some(active.iter().filter(|pod| pods::is_ready(pod)).count() as i32);
        work.status.terminating = Some(work.owned.iter().filter(|pod| is_ending(pod)).count() as i32);
    }

    /// Deletes what still runs of a job that is over; only when all of it was told to go is the end told.
    async fn end(
        &self,
        work: &mut Work<'_>,
        finish: JobCondition,
        settled: bool,
        found: &mut Assessment,
    ) -> kube::Result<()> {
        let active: Vec<_> = work.owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let results = join_all(active.iter().map(|pod| work.control.delete(pod))).await;
        let deleted: Vec<_> = active
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|(pod, _)| pod.clone())
            .collect();
        work.moved_to_terminating(&deleted);
        if deleted.len() == active.len() && settled {
            found.finish = Some(finish);
        }
        results.into_iter().collect()
    }

    async fn go_on(
        &self,
        work: &mut Work<'_>,
        found: &mut Assessment,
        backoff: Backoff,
        settled: bool,
    ) -> kube::Result<()> {
        let now = self.context.clock.now();
        let mut outcome = Ok(());
        let manages = settled && work.job.metadata.deletion_timestamp.is_none();
        if manages {
            let plan = plan(&work.spec, found, &work.owned, backoff, now);
            work.next = work.next.into_iter().chain(plan.wait).min();
            outcome = self.carry_out(work, plan, found).await;
        }
        let active = work.status.active.unwrap_or(0);
        let complete = match work.spec.completions {
            None => found.succeeded > 0 && active == 0,
            Some(completions) => found.succeeded >= completions && active == 0,
        };
        if complete {
            let message = "Reached expected number of succeeded pods";
            found.finish =
                Some(new_condition(SUCCESS_CRITERIA_MET, true, "CompletionsReached", message, now));
        } else if manages {
            self.tell_suspension(work);
        }
        outcome
    }

    fn tell_suspension(&self, work: &mut Work<'_>) {
        let now = self.context.clock.now();
        let suspended = work.spec.suspend == Some(true);
        let (reason, message, event) = if suspended {
            ("JobSuspended", "Job suspended", "Suspended")
        } else {
            ("JobResumed", "Job resumed", "Resumed")
        };
        if set_condition(&mut work.status, new_condition("Suspended", suspended, reason, message, now)) {
            work.control.say(EventType::Normal, event, message.to_owned());
            if !suspended {
                // The deadline counts the time since the job was resumed.
                work.status.start_time = Some(Time(now));
            }
        }
    }

    async fn carry_out(&self, work: &mut Work<'_>, plan: Plan, found: &Assessment) -> kube::Result<()> {
        if !plan.delete.is_empty() {
            return self.delete(work, plan.delete).await;
        }
        if plan.create.is_empty() {
            return Ok(());
        }
        self.expectations.expect_creations(work.key, plan.create.len());
        let pods: Vec<Pod> = plan
            .create
            .iter()
            .map(|index| {
                let replaced = index.and_then(|index| found.delayed.get(&index));
                template::new_pod(&work.job, &work.spec, *index, replaced)
            })
            .collect();
        let control = &work.control;
        let create = |at: usize| {
            let pod = &pods[at];
            async move { control.create(pod).await.map(|_| ()) }
        };
        let (created, error) = slow_start(pods.len(), create).await;
        (created..pods.len()).for_each(|_| self.expectations.creation_observed(work.key));
        work.status.active = some(work.status.active.unwrap_or(0) + created as i32);
        match error {
            // The pods would be refused again; the namespace's end takes the job along.
            Some(error) if client::is_namespace_terminating(&error) => Ok(()),
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Deletes pods that are too many: their finalizers go first, so that they are not counted as failures.
    async fn delete(&self, work: &mut Work<'_>, surplus: Vec<Arc<Pod>>) -> kube::Result<()> {
        let uids = surplus.iter().filter_map(|pod| pod.metadata.uid.clone());
        self.expectations.expect_deletions(work.key, uids);
        let results = join_all(surplus.iter().map(|pod| self.release_and_delete(&work.control, pod))).await;
        let mut deleted = Vec::new();
        for (pod, result) in surplus.iter().zip(&results) {
            if result.is_ok() {
                deleted.push(pod.clone());
            } else {
                let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                self.expectations.deletion_observed(work.key, uid);
            }
        }
        work.moved_to_terminating(&deleted);
        results.into_iter().collect()
    }

    async fn release_and_delete(&self, control: &PodControl, pod: &Arc<Pod>) -> kube::Result<()> {
        self.release(pod).await?;
        control.delete(pod).await
    }

    async fn release(&self, pod: &Arc<Pod>) -> kube::Result<()> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.released.lock().insert(uid.clone());
        let result = if is_tracked(pod) { release(&self.context, pod).await } else { Ok(()) };
        // Whoever left the cache meanwhile is not seen to change any more.
        if result.is_err() || self.pods.get(&Key::of(&**pod)).is_none_or(|seen| !is_tracked(&seen)) {
            self.released.lock().remove(&uid);
        }
        result
    }

    /// Writes what has ended, frees the pods, writes the numbers, and the end if this is it.
    async fn count(
        &self,
        work: &mut Work<'_>,
        scene: &Scene<'_>,
        found: &Assessment,
        backoff: Backoff,
    ) -> kube::Result<()> {
        let tracked = track(scene, found, found.finish.as_ref(), &mut work.status);
        let finish = found.finish.clone().map(|finish| announce(finish, &mut work.status));
        if self.write(work).await? {
            self.backoffs.lock().insert(work.key.clone(), backoff);
        }
        let results = join_all(tracked.release.iter().map(|pod| self.release(pod))).await;
        let freed: HashSet<_> = tracked
            .release
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .filter_map(|(pod, _)| pod.metadata.uid.clone())
            .collect();
        let held = scene.pods.iter().filter(|pod| is_tracked(pod) && !scene.is_released(pod));
        let held =
            held.filter_map(|pod| pod.metadata.uid.clone()).filter(|uid| !freed.contains(uid)).collect();
        settle(&mut work.status, &held);
        let all_freed = results.into_iter().collect::<kube::Result<()>>();
        let finish = finish.filter(|_| all_freed.is_ok() && !tracked.is_full);
        let over = finish.filter(|finish| conclude(finish, &mut work.status));
        self.write(work).await?;
        if let Some(finish) = over {
            work.tell_end(&finish);
        }
        all_freed
    }

    /// True if there was something to write.
    async fn write(&self, work: &mut Work<'_>) -> kube::Result<bool> {
        if work.job.status.as_ref() == Some(&work.status) {
            return Ok(false);
        }
        let changed = Job { status: Some(work.status.clone()), ..(*work.job).clone() };
        let api: Api<Job> = Api::namespaced(self.context.client.clone(), &work.key.namespace);
        let written = self.written.replace_status(work.key, &api, &changed).await?;
        let Some(job) = written else { return Ok(false) };
        // Times are stored to the second: what was written is compared as it stands there.
        work.status = job.status.clone().unwrap_or_default();
        work.status.uncounted_terminated_pods.get_or_insert_default();
        work.job = Arc::new(job);
        Ok(true)
    }
}

impl Work<'_> {
    fn moved_to_terminating(&mut self, deleted: &[Arc<Pod>]) {
        let ready = deleted.iter().filter(|pod| pods::is_ready(pod)).count() as i32;
        self.status.active = some(self.status.active.unwrap_or(0) - deleted.len() as i32);
        self.status.ready = Some(self.status.ready.unwrap_or(0) - ready);
        self.status.terminating = Some(self.status.terminating.unwrap_or(0) + deleted.len() as i32);
    }

    fn tell_end(&self, finish: &JobCondition) {
        if finish.type_ != "Complete" {
            let (reason, message) = (finish.reason.as_deref().unwrap_or_default(), finish.message.clone());
            self.control.say(EventType::Warning, reason, message.unwrap_or_default());
            return;
        }
        if self.spec.completions.is_some_and(|wanted| self.status.succeeded.unwrap_or(0) > wanted) {
            let message = "Too many succeeded pods running after completion count reached";
            self.control.say(EventType::Warning, "TooManySucceededPods", message.to_owned());
        }
        self.control.say(EventType::Normal, "Completed", "Job completed".to_owned());
    }
}
