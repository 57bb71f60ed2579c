//! Reads a StatefulSet, its revisions, pods and claims, decides, acts, reports.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::claims::Claims;
use super::identity::{self, Revision, revision_of};
use super::plan::{Scene, Step, plan};
use super::status::status;
use crate::context::Context;
use crate::freshness::Written;
use crate::history::History;
use crate::pod_control::told;
use crate::slow_start::slow_start;
use crate::{owners, pods, selector};

struct Reconciler {
    context: Context,
    sets: Store<StatefulSet>,
    pods: Store<Pod>,
    claims: Store<PersistentVolumeClaim>,
    revisions: Store<ControllerRevision>,
    written: Written,
}

pub(crate) async fn start(context: Context) {
    let hub = &context.hub;
    let (sets, pods) = (hub.store::<StatefulSet>(), hub.store::<Pod>());
    let (claims, revisions) = (hub.store::<PersistentVolumeClaim>(), hub.store::<ControllerRevision>());
    let all = [sets.synced().await, pods.synced().await, claims.synced().await, revisions.synced().await];
    if all.contains(&false) {
        return;
    }
    let known = sets.clone();
    Controller::new("statefulset", hub)
        .reconciles(&sets)
        .watches(&pods, move |change| pod_changed(change, &known))
        .run(Arc::new(Reconciler { sets, pods, claims, revisions, written: Written::default(), context }));
}

fn set_of(pod: &Pod) -> Option<Key> {
    let owner = owners::controller_of(pod).filter(|owner| owner.kind == "StatefulSet")?;
    Some(Key::new(pod.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()))
}

fn pod_changed(change: &Change<Pod>, sets: &Store<StatefulSet>) -> Vec<Key> {
    let pod = change.object();
    let was = match change {
        Change::Applied { old: Some(old), .. } => set_of(old),
        _ => None,
    };
    if let Some(owner) = set_of(pod) {
        return was.into_iter().filter(|was| *was != owner).chain([owner.clone()]).collect();
    }
    if owners::controller_of(&**pod).is_some() {
        return was.into_iter().collect();
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let adopters = sets.in_namespace(namespace).into_iter().filter(|set| {
        let selected = set.spec.as_ref().is_some_and(|spec| {
            !selector::is_empty(&spec.selector)
                && selector::matches(&spec.selector, pod.metadata.labels.as_ref())
        });
        selected && identity::ordinal(set, pod).is_some()
    });
    was.into_iter().chain(adopters.map(|set| Key::of(&*set))).collect()
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(set) = self.sets.get(key) else {
            self.written.forget(key);
            return Ok(Next::AwaitChange);
        };
        let Some(spec) = set.spec.as_ref().filter(|spec| !selector::is_empty(&spec.selector)) else {
            return Ok(Next::AwaitChange);
        };
        if self.written.is_stale(key, &*set) {
            return Ok(Next::AwaitChange);
        }
        let owned = self.owned(&set, spec, key).await?;
        self.sync(key, &set, spec, &owned).await?;
        let (min_ready, now) = (spec.min_ready_seconds.unwrap_or(0), self.context.clock.now());
        let waits = owned.iter().filter_map(|pod| pods::until_available(pod, min_ready, now));
        Ok(waits.min().map_or(Next::AwaitChange, Next::After))
    }
}

impl Reconciler {
    async fn is_live(&self, set: &StatefulSet) -> kube::Result<bool> {
        let key = Key::of(set);
        let api: Api<StatefulSet> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let live = api.get_opt(&key.name).await?;
        Ok(live.is_some_and(|live| {
            live.metadata.uid == set.metadata.uid && live.metadata.deletion_timestamp.is_none()
        }))
    }

    fn pod_api(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), namespace)
    }

    async fn owned(
        &self,
        set: &StatefulSet,
        spec: &StatefulSetSpec,
        key: &Key,
    ) -> kube::Result<Vec<Arc<Pod>>> {
        let all = self.pods.in_namespace(&key.namespace);
        let members = all.into_iter().filter(|pod| identity::ordinal(set, pod).is_some());
        let claim = owners::claim(set, &spec.selector, members);
        claim.settle(&self.pod_api(&key.namespace), &owners::controller_ref(set), self.is_live(set)).await
    }

    async fn sync(
        &self,
        key: &Key,
        set: &StatefulSet,
        spec: &StatefulSetSpec,
        owned: &[Arc<Pod>],
    ) -> Result<(), BoxError> {
        let old = set.status.clone().unwrap_or_default();
        let history = History {
            client: self.context.client.clone(),
            owner: set,
            template: &spec.template,
            hash_label: "controller.kubernetes.io/hash",
            collisions: old.collision_count,
        };
        let known = history.revisions(&self.revisions, &spec.selector, self.is_live(set)).await?;
        if set.metadata.deletion_timestamp.is_some() && known.is_empty() {
            return Ok(());
        }
        let latest = history.latest(&known).await?;
        let update = Revision::of(&latest.revision, spec);
        let current = known.iter().find(|revision| revision.metadata.name == old.current_revision);
        let current = current.map_or_else(|| update.clone(), |revision| Revision::of(revision, spec));
        let scene = Scene {
            set,
            spec,
            current: &current,
            update: &update,
            pods: owned,
            now: self.context.clock.now(),
        };
        let steps = plan(&scene);
        let outcome = self.carry_out(&scene, &steps).await;
        let taken = if outcome.is_ok() { &steps[..] } else { &[] };
        self.report(key, set, status(&scene, latest.collisions, taken)).await?;
        outcome?;
        let mut live: BTreeSet<String> =
            owned.iter().filter_map(|pod| revision_of(pod).map(str::to_owned)).collect();
        live.extend([current.name.clone(), update.name.clone()]);
        history.truncate(&known, &live, spec.revision_history_limit).await?;
        Ok(())
    }

    /// Creations start slowly, one after the other doubling; the rest goes at once.
    async fn carry_out(&self, scene: &Scene<'_>, steps: &[Step]) -> Result<(), BoxError> {
        let (create, rest): (Vec<_>, Vec<_>) =
            steps.iter().partition(|step| matches!(step, Step::Create { .. }));
        for step in rest {
            self.take(scene, step).await?;
        }
        let (_, error) = slow_start(create.len(), |at| self.take(scene, create[at])).await;
        error.map_or(Ok(()), Err)
    }

    async fn take(&self, scene: &Scene<'_>, step: &Step) -> Result<(), BoxError> {
        let claims = Claims { context: &self.context, store: &self.claims, set: scene.set, spec: scene.spec };
        match step {
            Step::Create { ordinal, .. } if claims.are_stale(*ordinal) => Err(StaleClaims.into()),
            Step::Create { ordinal, pod } => {
                claims.make(*ordinal).await?;
                self.create(scene.set, pod).await?;
                Ok(())
            }
            Step::Renew(pod) => {
                self.tell_renewal(scene.set, pod);
                Ok(self.delete(scene.set, pod).await?)
            }
            Step::Delete(pod) => Ok(self.delete(scene.set, pod).await?),
            Step::Tend { ordinal, pod } => {
                if pods::phase(pod) == "Pending" && !pods::is_terminating(pod) {
                    claims.make(*ordinal).await?;
                }
                Ok(claims.tend(*ordinal, pod, scene.is_member(*ordinal)).await?)
            }
            Step::Correct(pod) => Ok(self.correct(scene.set, pod).await?),
        }
    }

    fn say(&self, set: &StatefulSet, verb: &str, pod: &Pod, error: Option<&kube::Error>) {
        let (name, of) = (pod.metadata.name.as_deref().unwrap_or_default(), identity::name(set));
        let about = format!("{} Pod {name} in StatefulSet {of}", verb.to_lowercase());
        let (kind, reason, message) = match error {
            None => (EventType::Normal, format!("Successful{verb}"), format!("{about} successful")),
            Some(error) => (
                EventType::Warning,
                format!("Failed{verb}"),
                format!("{about} failed error: {}", told(error)),
            ),
        };
        self.context.recorder.event(&reference(set), kind, reason, message);
    }

    fn tell_renewal(&self, set: &StatefulSet, pod: &Pod) {
        let key = Key::of(set);
        let (kind, reason, word) = if pods::phase(pod) == "Failed" {
            (EventType::Warning, "RecreatingFailedPod", "failed")
        } else {
            (EventType::Normal, "RecreatingTerminatedPod", "terminated")
        };
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        let message = format!("StatefulSet {}/{} is recreating {word} Pod {pod}", key.namespace, key.name);
        self.context.recorder.event(&reference(set), kind, reason, message);
    }

    async fn create(&self, set: &StatefulSet, pod: &Pod) -> kube::Result<()> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        match self.pod_api(namespace).create(&PostParams::default(), pod).await {
            // The cache does not show it yet; the namespace's end takes the set along.
            Err(error) if client::is_already_exists(&error) || client::is_namespace_terminating(&error) => {
                Err(error)
            }
            Err(error) => {
                self.say(set, "Create", pod, Some(&error));
                Err(error)
            }
            Ok(_) => {
                self.say(set, "Create", pod, None);
                Ok(())
            }
        }
    }

    async fn delete(&self, set: &StatefulSet, pod: &Pod) -> kube::Result<()> {
        let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
        let same = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let options = DeleteParams::default().preconditions(same);
        match self.pod_api(namespace.unwrap_or_default()).delete(name.unwrap_or_default(), &options).await {
            Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => Ok(()),
            Err(error) => {
                self.say(set, "Delete", pod, Some(&error));
                Err(error)
            }
            Ok(_) => {
                self.say(set, "Delete", pod, None);
                Ok(())
            }
        }
    }

    async fn correct(&self, set: &StatefulSet, pod: &Pod) -> kube::Result<()> {
        let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
        let api = self.pod_api(namespace.unwrap_or_default());
        match api.replace(name.unwrap_or_default(), &PostParams::default(), pod).await {
            Err(error) if client::is_not_found(&error) => Ok(()),
            Err(error) => {
                self.say(set, "Update", pod, Some(&error));
                Err(error)
            }
            Ok(_) => {
                self.say(set, "Update", pod, None);
                Ok(())
            }
        }
    }

    async fn report(&self, key: &Key, set: &StatefulSet, status: StatefulSetStatus) -> kube::Result<()> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let changed = StatefulSet { status: Some(status), ..set.clone() };
        let api: Api<StatefulSet> = Api::namespaced(self.context.client.clone(), &key.namespace);
        self.written.replace_status(key, &api, &changed).await.map(drop)
    }
}

/// The claims of a member that is gone are still on their way out with it.
#[derive(Debug, thiserror::Error)]
#[error("claims of the pod before are not gone yet")]
struct StaleClaims;
