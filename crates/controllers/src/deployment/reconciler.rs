//! Reads the sets, decides by the strategy, acts, reports.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::sets::{Scale, Sets, existing, is_recreate, wanted};
use super::{proportional, revision, rolling, status};
use crate::context::Context;
use crate::{owners, pods, selector};

struct Reconciler {
    context: Context,
    deployments: Store<Deployment>,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
}

pub(crate) async fn start(context: Context) {
    let hub = &context.hub;
    let (deployments, sets, pods) =
        (hub.store::<Deployment>(), hub.store::<ReplicaSet>(), hub.store::<Pod>());
    if !(deployments.synced().await && sets.synced().await && pods.synced().await) {
        return;
    }
    let (all, known_sets, recreated) = (deployments.clone(), sets.clone(), deployments.clone());
    Controller::new("deployment", hub)
        .reconciles(&deployments)
        .watches(&sets, move |change| set_changed(change, &all))
        .watches(&pods, move |change| pod_gone(change, &known_sets, &recreated))
        .run(Arc::new(Reconciler { deployments, sets, pods, context }));
}

fn owner_key(set: &ReplicaSet) -> Option<Key> {
    let owner = owners::controller_of(set).filter(|owner| owner.kind == "Deployment")?;
    Some(Key::new(set.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()))
}

fn set_changed(change: &Change<ReplicaSet>, deployments: &Store<Deployment>) -> Vec<Key> {
    let set = change.object();
    if let Some(owner) = owner_key(set) {
        return vec![owner];
    }
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let selects = |deployment: &Deployment| {
        let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
        selector.is_some_and(|s| !selector::is_empty(s) && selector::matches(s, set.metadata.labels.as_ref()))
    };
    let adopters = deployments.in_namespace(namespace).into_iter().filter(|d| selects(d));
    adopters.map(|deployment| Key::of(&*deployment)).collect()
}

/// A Recreate rollout goes on when the last old pod is gone; nothing else of a pod concerns a Deployment.
fn pod_gone(change: &Change<Pod>, sets: &Store<ReplicaSet>, deployments: &Store<Deployment>) -> Vec<Key> {
    let Change::Deleted(pod) = change else { return Vec::new() };
    let owner = || {
        let set = owners::controller_of(&**pod).filter(|owner| owner.kind == "ReplicaSet")?;
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let key = owner_key(&*sets.get(&Key::new(namespace, set.name.clone()))?)?;
        deployments.get(&key).filter(|deployment| is_recreate(deployment)).map(|_| key)
    };
    owner().into_iter().collect()
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(deployment) = self.deployments.get(key) else { return Ok(Next::AwaitChange) };
        let Some(spec) = &deployment.spec else { return Ok(Next::AwaitChange) };
        if selector::is_empty(&spec.selector) {
            return Ok(Next::AwaitChange);
        }
        let owned = self.owned(&deployment, key).await?;
        let sets = revision::sort(&deployment, owned);
        if deployment.metadata.deletion_timestamp.is_some() {
            self.report(&deployment, &sets, false).await?;
            return Ok(Next::AwaitChange);
        }
        let paused = spec.paused.unwrap_or(false);
        if self.note_pause(&deployment, paused).await? {
            return Ok(Next::AwaitChange);
        }
        if paused || revision::is_scaling_event(&deployment, &sets) {
            let sets = self.with_current_new(&deployment, sets, false).await?;
            self.scale(&deployment, proportional::scale(&deployment, &sets)).await?;
            self.clean_up(&deployment, &sets, paused).await?;
            self.report(&deployment, &sets, false).await?;
            return Ok(Next::AwaitChange);
        }
        self.roll(&deployment, sets).await
    }
}

impl Reconciler {
    fn api(&self, namespace: &str) -> Api<Deployment> {
        Api::namespaced(self.context.client.clone(), namespace)
    }

    fn set_api(&self, deployment: &Deployment) -> Api<ReplicaSet> {
        let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced(self.context.client.clone(), namespace)
    }

    async fn owned(&self, deployment: &Deployment, key: &Key) -> kube::Result<Vec<Arc<ReplicaSet>>> {
        let selector = deployment.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
        let claim = owners::claim(deployment, &selector, self.sets.in_namespace(&key.namespace));
        let live = async {
            let live = self.api(&key.namespace).get_opt(&key.name).await?;
            Ok(live.is_some_and(|live| {
                live.metadata.uid == deployment.metadata.uid && live.metadata.deletion_timestamp.is_none()
            }))
        };
        claim.settle(&self.set_api(deployment), &owners::controller_ref(deployment), live).await
    }

    /// Tells a pause or its end in the Progressing condition, so that the deadline does not run meanwhile.
    async fn note_pause(&self, deployment: &Deployment, paused: bool) -> kube::Result<bool> {
        if status::deadline(deployment).is_none() {
            return Ok(false);
        }
        let mut current = deployment.status.clone().unwrap_or_default();
        let reason = status::find(&current, status::PROGRESSING).and_then(|c| c.reason.clone());
        if reason.as_deref() == Some(status::TIMED_OUT) {
            return Ok(false);
        }
        let was_paused = reason.as_deref() == Some("DeploymentPaused");
        let (reason, message) = match (paused, was_paused) {
            (true, false) => ("DeploymentPaused", "Deployment is paused"),
            (false, true) => ("DeploymentResumed", "Deployment is resumed"),
            _ => return Ok(false),
        };
        let mut condition =
            status::condition(status::PROGRESSING, true, reason, message.into(), self.context.clock.now());
        condition.status = "Unknown".into();
        status::set_condition(&mut current, condition);
        self.write_status(deployment, current).await?;
        Ok(true)
    }

    async fn roll(&self, deployment: &Deployment, sets: Sets) -> Result<Next, BoxError> {
        if is_recreate(deployment) {
            return self.recreate(deployment, sets).await;
        }
        let sets = self.with_current_new(deployment, sets, true).await?;
        let steps = rolling::step(deployment, &sets);
        if !steps.is_empty() {
            self.scale(deployment, steps).await?;
            return self.report(deployment, &sets, true).await;
        }
        self.finish(deployment, sets).await
    }

    async fn recreate(&self, deployment: &Deployment, sets: Sets) -> Result<Next, BoxError> {
        let sets = self.with_current_new(deployment, sets, false).await?;
        let down: Vec<_> = sets.old.iter().filter(|set| wanted(set) > 0).cloned().collect();
        if !down.is_empty() {
            self.scale(deployment, down.into_iter().map(|set| Scale { set, to: 0 }).collect()).await?;
            return self.report(deployment, &sets, true).await;
        }
        if self.old_pods_run(&sets) {
            return self.report(deployment, &sets, true).await;
        }
        let sets = self.with_current_new(deployment, sets, true).await?;
        let up = sets.new.iter().filter(|new| wanted(new) != super::sets::desired(deployment));
        let up = up.map(|new| Scale { set: new.clone(), to: super::sets::desired(deployment) }).collect();
        self.scale(deployment, up).await?;
        self.finish(deployment, sets).await
    }

    /// Old pods that still hold what the new ones need.
    fn old_pods_run(&self, sets: &Sets) -> bool {
        let uids = sets.old.iter().filter_map(|set| set.metadata.uid.as_deref());
        uids.flat_map(|uid| self.pods.owned_by(uid)).any(|pod| !pods::is_finished(&pod))
    }

    async fn finish(&self, deployment: &Deployment, sets: Sets) -> Result<Next, BoxError> {
        let current = status::calculate(deployment, &sets, self.context.clock.now());
        let complete = status::is_complete(deployment, &current);
        self.clean_up(deployment, &sets, complete).await?;
        self.report(deployment, &sets, true).await
    }

    /// The sets with the new one made, if `create`, and carrying the right revision.
    async fn with_current_new(
        &self,
        deployment: &Deployment,
        mut sets: Sets,
        create: bool,
    ) -> Result<Sets, BoxError> {
        let revision = revision::next_revision(&sets);
        if let Some(new) = &sets.new {
            let current = self.refresh(deployment, new, revision).await?;
            sets.new = Some(current);
        } else if create {
            let size = rolling::new_size(deployment, &sets);
            sets.new = Some(Arc::new(self.create(deployment, revision, size).await?));
        } else {
            return Ok(sets);
        }
        let annotations = sets.new.as_ref().and_then(|new| new.metadata.annotations.as_ref());
        self.note_revision(deployment, revision::revision_of(annotations)).await?;
        Ok(sets)
    }

    async fn refresh(
        &self,
        deployment: &Deployment,
        new: &Arc<ReplicaSet>,
        revision: i64,
    ) -> kube::Result<Arc<ReplicaSet>> {
        let mut fresh = (**new).clone();
        revision::annotate_revision(&mut fresh, deployment, revision);
        if let (Some(spec), Some(wanted)) = (&mut fresh.spec, &deployment.spec) {
            spec.min_ready_seconds = wanted.min_ready_seconds;
        }
        if fresh == **new {
            return Ok(new.clone());
        }
        let name = new.metadata.name.as_deref().unwrap_or_default();
        self.set_api(deployment).replace(name, &PostParams::default(), &fresh).await.map(Arc::new)
    }

    async fn create(
        &self,
        deployment: &Deployment,
        revision: i64,
        size: i32,
    ) -> Result<ReplicaSet, BoxError> {
        let set = revision::new_set(deployment, revision, size);
        match self.set_api(deployment).create(&PostParams::default(), &set).await {
            Ok(set) => {
                self.say_scaled(deployment, &set, 0, size);
                Ok(set)
            }
            Err(error) if client::is_already_exists(&error) => self.collision(deployment, set, error).await,
            Err(error) => {
                let name = set.metadata.name.as_deref().unwrap_or_default();
                let message = format!("Failed to create new replica set \"{name}\": {error}");
                let about = reference(deployment);
                self.context.recorder.event(&about, EventType::Warning, "FailedCreate", message);
                Err(error.into())
            }
        }
    }

    /// The name is taken: by our own set that the cache does not show yet, or by another template with this hash.
    async fn collision(
        &self,
        deployment: &Deployment,
        set: ReplicaSet,
        error: kube::Error,
    ) -> Result<ReplicaSet, BoxError> {
        let existing = self.set_api(deployment).get(set.metadata.name.as_deref().unwrap_or_default()).await?;
        let ours =
            owners::controller_of(&existing).map(|owner| &owner.uid) == deployment.metadata.uid.as_ref();
        let found = revision::sort(deployment, vec![Arc::new(existing.clone())]);
        if ours && found.new.is_some() {
            return Ok(existing);
        }
        let mut current = deployment.status.clone().unwrap_or_default();
        current.collision_count = Some(current.collision_count.unwrap_or(0) + 1);
        self.write_status(deployment, current).await?;
        Err(error.into())
    }

    async fn note_revision(&self, deployment: &Deployment, revision: i64) -> kube::Result<()> {
        if revision::revision_of(deployment.metadata.annotations.as_ref()) == revision {
            return Ok(());
        }
        // An update and no patch: that is what this controller's role allows.
        let mut changed = deployment.clone();
        let annotations = changed.metadata.annotations.get_or_insert_default();
        annotations.insert(revision::REVISION.to_owned(), revision.to_string());
        let key = Key::of(deployment);
        self.api(&key.namespace).replace(&key.name, &PostParams::default(), &changed).await?;
        Ok(())
    }

    async fn scale(&self, deployment: &Deployment, scales: Vec<Scale>) -> kube::Result<()> {
        for Scale { set, to } in scales {
            let from = wanted(&set);
            let mut sized = (*set).clone();
            revision::annotate_sizes(&mut sized, deployment);
            if let Some(spec) = &mut sized.spec {
                spec.replicas = Some(to);
            }
            let name = set.metadata.name.as_deref().unwrap_or_default();
            let sized = self.set_api(deployment).replace(name, &PostParams::default(), &sized).await?;
            self.say_scaled(deployment, &sized, from, to);
        }
        Ok(())
    }

    fn say_scaled(&self, deployment: &Deployment, set: &ReplicaSet, from: i32, to: i32) {
        if from == to {
            return;
        }
        let direction = if to > from { "up" } else { "down" };
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
        self.context.recorder.event(&reference(deployment), EventType::Normal, "ScalingReplicaSet", message);
    }

    /// Deletes empty old sets beyond the history limit, the oldest revisions first.
    async fn clean_up(&self, deployment: &Deployment, sets: &Sets, due: bool) -> kube::Result<()> {
        let limit = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
        if !due || limit == i32::MAX {
            return Ok(());
        }
        let mut empty: Vec<_> =
            sets.old.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
        let surplus = empty.len().saturating_sub(limit.max(0) as usize);
        empty.sort_by_key(|set| revision::revision_of(set.metadata.annotations.as_ref()));
        for set in empty.into_iter().take(surplus) {
            let observed = set.status.as_ref().and_then(|status| status.observed_generation);
            if existing(set) != 0 || wanted(set) != 0 || observed < set.metadata.generation {
                continue;
            }
            let same = Preconditions { uid: set.metadata.uid.clone(), resource_version: None };
            let name = set.metadata.name.as_deref().unwrap_or_default();
            match self.set_api(deployment).delete(name, &DeleteParams::background().preconditions(same)).await
            {
                Err(error) if !client::is_not_found(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn report(&self, deployment: &Deployment, sets: &Sets, progress: bool) -> Result<Next, BoxError> {
        let now = self.context.clock.now();
        let mut current = status::calculate(deployment, sets, now);
        if progress {
            status::report_progress(deployment, sets, &mut current, now);
        }
        let left = status::left(deployment, &current, now);
        let waiting = progress && !status::is_complete(deployment, &current);
        if deployment.status.as_ref() != Some(&current) {
            self.write_status(deployment, current).await?;
        }
        Ok(match left {
            Some(left) if waiting && left >= 0 => Next::After(Duration::from_secs(left as u64 + 1)),
            _ => Next::AwaitChange,
        })
    }

    async fn write_status(&self, deployment: &Deployment, status: DeploymentStatus) -> kube::Result<()> {
        let key = Key::of(deployment);
        let mut changed = deployment.clone();
        changed.status = Some(status);
        match self.api(&key.namespace).replace_status(&key.name, &PostParams::default(), &changed).await {
            Err(error) if client::is_not_found(&error) => Ok(()),
            result => result.map(|_| ()),
        }
    }
}
