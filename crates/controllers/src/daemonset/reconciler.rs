//! Reads a DaemonSet, the nodes and its pods, decides, acts, reports.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Expectations, Key, Next, Reconcile, Store, reference};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use parking_lot::Mutex;

use super::plan::{Plan, Scene, plan};
use super::roll::roll;
use super::status::status;
use super::template;
use crate::context::Context;
use crate::freshness::Written;
use crate::history::{History, REVISION_LABEL};
use crate::pod_control::PodControl;
use crate::slow_start::slow_start;
use crate::{owners, pods, selector};

/// Most pods made or deleted in one go.
const BURST: usize = 250;
/// A failing pod is replaced after 1 s, then twice as long each time, 15 minutes at most.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(900);

struct Reconciler {
    context: Context,
    sets: Store<DaemonSet>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    revisions: Store<ControllerRevision>,
    expectations: Arc<Expectations>,
    written: Written,
    /// By set and node: when a failed pod was last replaced, and how long the next waits after that.
    failures: Mutex<HashMap<(Key, String), (Duration, Duration)>>,
}

pub(crate) async fn start(context: Context) {
    let hub = &context.hub;
    let (sets, pods, nodes) = (hub.store::<DaemonSet>(), hub.store::<Pod>(), hub.store::<Node>());
    let revisions = hub.store::<ControllerRevision>();
    let all = [sets.synced().await, pods.synced().await, nodes.synced().await, revisions.synced().await];
    if all.contains(&false) {
        return;
    }
    let expectations = Arc::new(Expectations::new(context.clock.clone()));
    let (seen, known, every) = (expectations.clone(), sets.clone(), sets.clone());
    Controller::new("daemonset", hub)
        .reconciles(&sets)
        .watches(&pods, move |change| pod_changed(change, &seen, &known))
        .watches(&nodes, move |change| match change {
            Change::Applied { old: Some(old), new } if same(old, new) => Vec::new(),
            _ => every.list().iter().map(|set| Key::of(&**set)).collect(),
        })
        .run(Arc::new(Reconciler {
            sets,
            pods,
            nodes,
            revisions,
            expectations,
            written: Written::default(),
            failures: Mutex::default(),
            context,
        }));
}

/// Heartbeats change neither labels nor taints.
fn same(a: &Node, b: &Node) -> bool {
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
    a.metadata.labels == b.metadata.labels && taints(a) == taints(b)
}

fn set_of(pod: &Pod) -> Option<Key> {
    let owner = owners::controller_of(pod).filter(|owner| owner.kind == "DaemonSet")?;
    Some(Key::new(pod.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()))
}

fn pod_changed(change: &Change<Pod>, seen: &Expectations, sets: &Store<DaemonSet>) -> Vec<Key> {
    let pod = change.object();
    let Some(owner) = set_of(pod) else {
        let was = match change {
            Change::Applied { old: Some(old), .. } => set_of(old),
            _ => None,
        };
        let orphan = owners::controller_of(&**pod).is_none();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let adopters = sets.in_namespace(namespace).into_iter().filter(|set| {
            let spec = set.spec.as_ref();
            orphan && spec.is_some_and(|s| selector::matches(&s.selector, pod.metadata.labels.as_ref()))
        });
        return was.into_iter().chain(adopters.map(|set| Key::of(&*set))).collect();
    };
    if matches!(change, Change::Applied { old: None, .. }) {
        seen.creation_observed(&owner);
    }
    if matches!(change, Change::Deleted(_)) || pods::is_terminating(pod) {
        seen.deletion_observed(&owner, pod.metadata.uid.as_deref().unwrap_or_default());
    }
    vec![owner]
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(set) = self.sets.get(key) else {
            self.forget(key);
            return Ok(Next::AwaitChange);
        };
        let Some(spec) = set.spec.as_ref() else { return Ok(Next::AwaitChange) };
        if selector::is_empty(&spec.selector) {
            let message = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.context.recorder.event(&reference(&*set), EventType::Warning, "SelectingAll", message);
            return Ok(Next::AwaitChange);
        }
        if self.written.is_stale(key, &*set) || set.metadata.deletion_timestamp.is_some() {
            return Ok(Next::AwaitChange);
        }
        self.sync(key, &set, spec).await
    }
}

impl Reconciler {
    fn forget(&self, key: &Key) {
        self.expectations.forget(key);
        self.written.forget(key);
        self.failures.lock().retain(|(of, _), _| of != key);
    }

    async fn is_live(&self, set: &DaemonSet) -> kube::Result<bool> {
        let key = Key::of(set);
        let api: Api<DaemonSet> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let live = api.get_opt(&key.name).await?;
        Ok(live.is_some_and(|live| {
            live.metadata.uid == set.metadata.uid && live.metadata.deletion_timestamp.is_none()
        }))
    }

    async fn owned(&self, key: &Key, set: &DaemonSet, spec: &DaemonSetSpec) -> kube::Result<Vec<Arc<Pod>>> {
        let claim = owners::claim(set, &spec.selector, self.pods.in_namespace(&key.namespace));
        let api = Api::namespaced(self.context.client.clone(), &key.namespace);
        claim.settle(&api, &owners::controller_ref(set), self.is_live(set)).await
    }

    async fn sync(&self, key: &Key, set: &Arc<DaemonSet>, spec: &DaemonSetSpec) -> Result<Next, BoxError> {
        let history = History {
            client: self.context.client.clone(),
            owner: &**set,
            template: &spec.template,
            hash_label: REVISION_LABEL,
            collisions: set.status.as_ref().and_then(|status| status.collision_count),
        };
        let known = history.revisions(&self.revisions, &spec.selector, self.is_live(set)).await?;
        let latest = history.latest(&known).await?;
        let labels = latest.revision.metadata.labels.clone().unwrap_or_default();
        let hash = labels.get(REVISION_LABEL).cloned().unwrap_or_default();
        // Asked before the pods are read: what is seen afterwards is then part of what was read.
        let settled = self.expectations.satisfied(key);
        let owned = self.owned(key, set, spec).await?;
        let now = self.context.clock.now();
        let scene = Scene::new(set, spec, &hash, &self.nodes.list(), &owned, now);
        let mut wait = None;
        let outcome = if settled { self.manage(key, &scene, &mut wait).await } else { Ok(()) };
        self.report(key, set, status(&scene, latest.collisions)).await?;
        outcome?;
        let used = owned.iter().filter_map(|pod| pod.metadata.labels.as_ref()?.get(REVISION_LABEL).cloned());
        let live: BTreeSet<String> = used.chain([hash.clone()]).collect();
        history.truncate(&known, &live, spec.revision_history_limit).await?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let waits = owned.iter().filter_map(|pod| pods::until_available(pod, min_ready, now));
        Ok(waits.chain(wait).min().map_or(Next::AwaitChange, Next::After))
    }

    async fn manage(&self, key: &Key, scene: &Scene<'_>, wait: &mut Option<Duration>) -> kube::Result<()> {
        let mut plan = plan(scene);
        let control = PodControl::new(&self.context, reference(scene.set));
        for (kind, reason, message) in plan.say.drain(..) {
            control.say(kind, reason, message);
        }
        for (node, pod) in std::mem::take(&mut plan.failed) {
            match self.failure_wait(key, &node) {
                Some(left) => *wait = (*wait).into_iter().chain([left]).min(),
                None => {
                    let of = Key::of(&*pod);
                    let message = format!(
                        "Found failed daemon pod {}/{} on node {node}, will try to kill it",
                        of.namespace, of.name
                    );
                    control.say(EventType::Warning, "FailedDaemonPod", message);
                    plan.delete.push(pod);
                }
            }
        }
        self.carry_out(key, scene, &control, plan).await?;
        // A rollout goes on from what is settled.
        if self.expectations.satisfied(key) {
            self.carry_out(key, scene, &control, roll(scene)).await?;
        }
        Ok(())
    }

    /// How long a failed pod of this node still waits; none when it may be replaced now, which is noted.
    fn failure_wait(&self, key: &Key, node: &str) -> Option<Duration> {
        let now = self.context.clock.monotonic();
        let mut failures = self.failures.lock();
        let entry = failures.entry((key.clone(), node.to_owned()));
        let (at, wait) = *entry.or_insert((Duration::ZERO, Duration::ZERO));
        let passed = now.saturating_sub(at);
        if passed < wait {
            return Some(wait - passed);
        }
        // Long without failures: it starts anew.
        let next =
            if passed > LONGEST_WAIT * 2 { FIRST_WAIT } else { (wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT) };
        failures.insert((key.clone(), node.to_owned()), (now, next));
        None
    }

    async fn carry_out(
        &self,
        key: &Key,
        scene: &Scene<'_>,
        control: &PodControl,
        mut plan: Plan,
    ) -> kube::Result<()> {
        plan.create.truncate(BURST);
        plan.delete.truncate(BURST);
        let pods: Vec<Pod> = plan
            .create
            .iter()
            .map(|node| template::new_pod(scene.set, scene.spec, scene.hash, node))
            .collect();
        self.expectations.expect_creations(key, pods.len());
        self.expectations
            .expect_deletions(key, plan.delete.iter().filter_map(|pod| pod.metadata.uid.clone()));
        let create = |at: usize| {
            let pod = &pods[at];
            async move { control.create(pod).await.map(|_| ()) }
        };
        let (created, error) = slow_start(pods.len(), create).await;
        (created..pods.len()).for_each(|_| self.expectations.creation_observed(key));
        let results = join_all(plan.delete.iter().map(|pod| control.delete(pod))).await;
        for (pod, result) in plan.delete.iter().zip(&results) {
            if result.is_err() || self.pods.get(&Key::of(&**pod)).is_none() {
                self.expectations.deletion_observed(key, pod.metadata.uid.as_deref().unwrap_or_default());
            }
        }
        match error {
            // The pods would be refused again; the namespace's end takes the set along.
            Some(error) if client::is_namespace_terminating(&error) => {}
            Some(error) => return Err(error),
            None => {}
        }
        results.into_iter().collect()
    }

    async fn report(&self, key: &Key, set: &DaemonSet, status: DaemonSetStatus) -> kube::Result<()> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let changed = DaemonSet { status: Some(status), ..set.clone() };
        let api: Api<DaemonSet> = Api::namespaced(self.context.client.clone(), &key.namespace);
        self.written.replace_status(key, &api, &changed).await.map(drop)
    }
}
