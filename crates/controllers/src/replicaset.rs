//! Keeps as many pods as each ReplicaSet, or ReplicationController, asks for.
//!
//! Upstream: pkg/controller/replicaset. Differs: plans first, then acts (see [`plan`]).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Expectations, Key, Next, Reconcile, Store};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::ObjectMeta;

use crate::context::Context;
use crate::replicated::Replicated;
use crate::slow_start::slow_start;
use crate::{owners, pods, selector};

/// Most pods made or deleted in one go.
const BURST: usize = 500;

struct Reconciler<S> {
    context: Context,
    sets: Store<S>,
    pods: Store<Pod>,
    expectations: Arc<Expectations>,
}

/// `name` is the controller's own.
pub(crate) async fn start<S: Replicated>(context: Context, name: &'static str) {
    let (sets, pods) = (context.hub.store::<S>(), context.hub.store::<Pod>());
    if !(sets.synced().await && pods.synced().await) {
        return;
    }
    let expectations = Arc::new(Expectations::new(context.clock.clone()));
    let (seen, orphans_of) = (expectations.clone(), sets.clone());
    Controller::new(name, &context.hub)
        .reconciles(&sets)
        .watches(&pods, move |change| pod_changed(change, &seen, &orphans_of))
        .run(Arc::new(Reconciler { context, sets, pods, expectations }));
}

/// Observes expectations and names the sets that a pod concerns: its owner, before and after, or for an orphan
/// those that would adopt it.
fn pod_changed<S: Replicated>(change: &Change<Pod>, seen: &Expectations, sets: &Store<S>) -> Vec<Key> {
    let pod = change.object();
    let Some(owner) = set_of::<S>(pod) else {
        let was = match change {
            Change::Applied { old: Some(old), .. } => set_of::<S>(old),
            _ => None,
        };
        return was.into_iter().chain(adopters(pod, sets)).collect();
    };
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    match change {
        Change::Applied { old: None, .. } => seen.creation_observed(&owner),
        Change::Deleted(_) => seen.deletion_observed(&owner, uid),
        Change::Applied { .. } => {}
    }
    if pods::is_terminating(pod) {
        seen.deletion_observed(&owner, uid);
    }
    vec![owner]
}

fn set_of<S: Replicated>(pod: &Pod) -> Option<Key> {
    let owner = owners::controller_of(pod).filter(|owner| owner.kind == S::kind(&()))?;
    Some(Key::new(pod.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()))
}

fn adopters<'a, S: Replicated>(pod: &'a Pod, sets: &Store<S>) -> impl Iterator<Item = Key> + use<'a, S> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    sets.in_namespace(namespace)
        .into_iter()
        .filter(|set| {
            let selector = set.to_set().spec.map(|spec| spec.selector);
            selector.is_some_and(|selector| {
                !selector::is_empty(&selector) && selector::matches(&selector, pod.metadata.labels.as_ref())
            })
        })
        .map(|set| Key::of(&*set))
}

/// What has to happen to the pods.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    create: usize,
    /// Names and UIDs.
    delete: Vec<(String, String)>,
}

/// The difference between the pods wanted and the active ones. Pure: the same inputs give the same plan.
///
/// `crowd` tells how many pods of the set's siblings share a node, by node: more crowded nodes give up pods first.
fn plan(wanted: usize, active: &[Arc<Pod>], crowd: &HashMap<String, usize>, now: Timestamp) -> Plan {
    if active.len() <= wanted {
        return Plan { create: (wanted - active.len()).min(BURST), delete: Vec::new() };
    }
    let surplus = (active.len() - wanted).min(BURST);
    let mut ranked: Vec<&Arc<Pod>> = active.iter().collect();
    ranked.sort_by_cached_key(|pod| deletion_rank(pod, crowd, now));
    let named = |pod: &&Arc<Pod>| {
        (pod.metadata.name.clone().unwrap_or_default(), pod.metadata.uid.clone().unwrap_or_default())
    };
    Plan { create: 0, delete: ranked.iter().take(surplus).map(named).collect() }
}

/// Lower goes first: unassigned, pending, not ready, cheap, crowded, recently ready, often restarted, young.
///
/// Upstream: `ActivePodsWithRanks.Less`; ages are compared on a logarithmic scale so that the choice is spread.
fn deletion_rank(pod: &Pod, crowd: &HashMap<String, usize>, now: Timestamp) -> impl Ord + use<> {
    let node = pods::node_name(pod);
    let phase = match pods::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let age = |since: Option<Timestamp>| {
        since.map_or(0, |since| 64 - (now.as_second() - since.as_second()).max(0).leading_zeros())
    };
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (
        node.is_some(),
        phase,
        pods::is_ready(pod),
        deletion_cost(pod),
        Reverse(node.and_then(|node| crowd.get(node)).copied().unwrap_or(0)),
        age(pods::ready_since(pod)),
        Reverse(pods::restarts(pod)),
        age(created),
        pod.metadata.uid.clone(),
    )
}

fn deletion_cost(pod: &Pod) -> i32 {
    let cost =
        pod.metadata.annotations.as_ref().and_then(|a| a.get("controller.kubernetes.io/pod-deletion-cost"));
    // Validation lets only numbers in; anything else counts as none, as upstream has it.
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// The status that the pods give, with the conditions of `old` but for ReplicaFailure.
fn status(
    set: &ReplicaSet,
    spec: &ReplicaSetSpec,
    owned: &[Arc<Pod>],
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let active: Vec<_> = owned.iter().filter(|pod| pods::is_active(pod)).collect();
    let count = |test: &dyn Fn(&Pod) -> bool| active.iter().filter(|pod| test(pod)).count() as i32;
    let template_labels =
        spec.template.as_ref().and_then(|t| t.metadata.as_ref()).and_then(|m| m.labels.clone());
    let template_labels = template_labels.unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let terminating = owned.iter().filter(|pod| pods::is_terminating(pod) && !pods::is_finished(pod)).count();
    let old = set.status.clone().unwrap_or_default();
    ReplicaSetStatus {
        replicas: active.len() as i32,
        fully_labeled_replicas: some(count(&|pod| {
            selector::map_matches(&template_labels, pod.metadata.labels.as_ref())
        })),
        ready_replicas: some(count(&pods::is_ready)),
        available_replicas: some(count(&|pod| pods::is_available(pod, min_ready, now))),
        terminating_replicas: Some(terminating as i32),
        observed_generation: set.metadata.generation,
        conditions: failure_condition(old.conditions, failure, now),
    }
}

/// Zero is left out of a status, as upstream does.
fn some(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

fn failure_condition(
    old: Option<Vec<ReplicaSetCondition>>,
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let mut conditions = old.unwrap_or_default();
    match failure {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some(_) if conditions.iter().any(|condition| condition.type_ == "ReplicaFailure") => {}
        Some((reason, message)) => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".into(),
            status: "True".into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        }),
    }
    (!conditions.is_empty()).then_some(conditions)
}

#[async_trait]
impl<S: Replicated> Reconcile for Reconciler<S> {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(set) = self.sets.get(key) else {
            self.expectations.forget(key);
            return Ok(Next::AwaitChange);
        };
        let set = set.to_set();
        let Some(spec) = &set.spec else { return Ok(Next::AwaitChange) };
        if selector::is_empty(&spec.selector) {
            return Ok(Next::AwaitChange);
        }
        // Asked before the pods are read: what is seen afterwards is then part of what was read.
        let settled = self.expectations.satisfied(key);
        let owned = self.owned(&set, spec).await?;
        let failure = if settled && set.metadata.deletion_timestamp.is_none() {
            self.manage(key, &set, spec, &owned).await
        } else {
            Ok(())
        };
        self.report(&set, spec, &owned, &failure).await?;
        failure?;
        Ok(self.next_look(spec, &owned))
    }
}

impl<S: Replicated> Reconciler<S> {
    async fn owned(&self, set: &ReplicaSet, spec: &ReplicaSetSpec) -> kube::Result<Vec<Arc<Pod>>> {
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let candidates = self.pods.in_namespace(namespace).into_iter().filter(|pod| !pods::is_finished(pod));
        let claim = owners::claim(set, &spec.selector, candidates);
        let api = Api::namespaced(self.context.client.clone(), namespace);
        claim.settle(&api, &S::owned_by_this(set), self.is_live(set)).await
    }

    async fn is_live(&self, set: &ReplicaSet) -> kube::Result<bool> {
        let (namespace, name) = (set.metadata.namespace.as_deref(), set.metadata.name.as_deref());
        let api: Api<S> = Api::namespaced(self.context.client.clone(), namespace.unwrap_or_default());
        let live = api.get_opt(name.unwrap_or_default()).await?;
        Ok(live.is_some_and(|live| {
            live.meta().uid == set.metadata.uid && live.meta().deletion_timestamp.is_none()
        }))
    }

    async fn manage(
        &self,
        key: &Key,
        set: &ReplicaSet,
        spec: &ReplicaSetSpec,
        owned: &[Arc<Pod>],
    ) -> Result<(), Failure> {
        let active: Vec<_> = owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let wanted = spec.replicas.unwrap_or(1).max(0) as usize;
        let crowd = self.crowd(set, &active, wanted);
        let plan = plan(wanted, &active, &crowd, self.context.clock.now());
        if plan.create > 0 {
            self.create(key, set, spec, plan.create).await.map_err(Failure::Create)
        } else {
            self.delete(key, set, plan.delete).await.map_err(Failure::Delete)
        }
    }

    /// Pods per node of all sets with the same controller, counted only when pods must go.
    fn crowd(&self, set: &ReplicaSet, active: &[Arc<Pod>], wanted: usize) -> HashMap<String, usize> {
        let mut crowd = HashMap::new();
        if active.len() <= wanted {
            return crowd;
        }
        let siblings = match owners::controller_of(set) {
            Some(owner) => self.sets.owned_by(&owner.uid),
            None => Vec::new(),
        };
        let uids = siblings.iter().filter_map(|sibling| sibling.meta().uid.clone());
        let uids: Vec<_> =
            uids.chain(siblings.is_empty().then(|| set.metadata.uid.clone()).flatten()).collect();
        for pod in uids.iter().flat_map(|uid| self.pods.owned_by(uid)).filter(|pod| pods::is_active(pod)) {
            if let Some(node) = pods::node_name(&pod) {
                *crowd.entry(node.to_owned()).or_insert(0) += 1;
            }
        }
        crowd
    }

    async fn create(
        &self,
        key: &Key,
        set: &ReplicaSet,
        spec: &ReplicaSetSpec,
        count: usize,
    ) -> kube::Result<()> {
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let pod = new_pod::<S>(set, spec);
        self.expectations.expect_creations(key, count);
        let about = S::about(set);
        let (created, error) = slow_start(count, |_| async {
            match api.create(&PostParams::default(), &pod).await {
                Ok(pod) => {
                    let name = pod.metadata.name.unwrap_or_default();
                    let message = format!("Created pod: {name}");
                    self.context.recorder.event(&about, EventType::Normal, "SuccessfulCreate", message);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })
        .await;
        (created..count).for_each(|_| self.expectations.creation_observed(key));
        match error {
            // The pods would be refused again; the namespace's end takes the set along.
            Some(error) if client::is_namespace_terminating(&error) => Ok(()),
            Some(error) => {
                let message = format!("Error creating: {}", told(&error));
                self.context.recorder.event(&about, EventType::Warning, "FailedCreate", message);
                Err(error)
            }
            None => Ok(()),
        }
    }

    async fn delete(&self, key: &Key, set: &ReplicaSet, pods: Vec<(String, String)>) -> kube::Result<()> {
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        self.expectations.expect_deletions(key, pods.iter().map(|(_, uid)| uid.clone()));
        let about = S::about(set);
        let results =
            join_all(pods.iter().map(|(name, uid)| self.delete_one(&api, key, &about, name, uid))).await;
        results.into_iter().collect()
    }

    async fn delete_one(
        &self,
        api: &Api<Pod>,
        key: &Key,
        about: &k8s_openapi::api::core::v1::ObjectReference,
        name: &str,
        uid: &str,
    ) -> kube::Result<()> {
        let same = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        match api.delete(name, &DeleteParams::default().preconditions(same)).await {
            Ok(_) => {
                let message = format!("Deleted pod: {name}");
                self.context.recorder.event(about, EventType::Normal, "SuccessfulDelete", message);
                Ok(())
            }
            Err(error) => {
                self.expectations.deletion_observed(key, uid);
                if client::is_not_found(&error) || client::is_conflict(&error) {
                    return Ok(());
                }
                let message = format!("Error deleting: {}", told(&error));
                self.context.recorder.event(about, EventType::Warning, "FailedDelete", message);
                Err(error)
            }
        }
    }

    async fn report(
        &self,
        set: &ReplicaSet,
        spec: &ReplicaSetSpec,
        owned: &[Arc<Pod>],
        outcome: &Result<(), Failure>,
    ) -> kube::Result<()> {
        let failure = outcome.as_ref().err().map(|failure| (failure.reason(), failure.message()));
        let status = status(set, spec, owned, failure, self.context.clock.now());
        // What a kind cannot say is no difference.
        let changed = S::from_set(ReplicaSet { status: Some(status), ..set.clone() });
        if changed.to_set().status == set.status {
            return Ok(());
        }
        let (namespace, name) = (set.metadata.namespace.clone(), set.metadata.name.clone());
        let api: Api<S> = Api::namespaced(self.context.client.clone(), &namespace.unwrap_or_default());
        match api.replace_status(&name.unwrap_or_default(), &PostParams::default(), &changed).await {
            Err(error) if client::is_not_found(&error) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    /// When the next ready pod becomes available.
    fn next_look(&self, spec: &ReplicaSetSpec, owned: &[Arc<Pod>]) -> Next {
        let (min_ready, now) = (spec.min_ready_seconds.unwrap_or(0), self.context.clock.now());
        let waits = owned.iter().filter_map(|pod| pods::until_available(pod, min_ready, now));
        waits.min().map_or(Next::AwaitChange, Next::After)
    }
}

/// A pod of the set's template. The name is the server's to finish.
fn new_pod<S: Replicated>(set: &ReplicaSet, spec: &ReplicaSetSpec) -> Pod {
    let template = spec.template.clone().unwrap_or_default();
    let from = template.metadata.unwrap_or_default();
    let name = set.metadata.name.as_deref().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            labels: from.labels,
            annotations: from.annotations,
            finalizers: from.finalizers,
            owner_references: Some(vec![S::owned_by_this(set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// Why the number of pods is not what it should be.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot create pods")]
    Create(#[source] kube::Error),
    #[error("cannot delete pods")]
    Delete(#[source] kube::Error),
}

impl Failure {
    fn reason(&self) -> &'static str {
        match self {
            Self::Create(_) => "FailedCreate",
            Self::Delete(_) => "FailedDelete",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Create(error) | Self::Delete(error) => told(error),
        }
    }
}

/// The server's own words where it was the server that refused.
fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => stdx::error_chain(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, node: Option<&str>, ready: bool, cost: Option<&str>) -> Arc<Pod> {
        let annotations = cost.map(|cost| json!({"controller.kubernetes.io/pod-deletion-cost": cost}));
        let pod = json!({"metadata": {"name": name, "uid": name, "annotations": annotations},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": if node.is_some() { "Running" } else { "Pending" },
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn creates_what_is_missing() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(plan(3, &[pod("a", None, false, None)], &HashMap::new(), now).create, 2);
        assert_eq!(plan(1000, &[], &HashMap::new(), now).create, BURST);
    }

    #[test]
    fn deletes_unassigned_then_unready_then_cheap_then_crowded() {
        let pods = [
            pod("costly", Some("n"), true, Some("9")),
            pod("crowded", Some("m"), true, None),
            pod("ready", Some("n"), true, None),
            pod("unready", Some("n"), false, None),
            pod("unassigned", None, false, None),
        ];
        let crowd = [("m".to_owned(), 5), ("n".to_owned(), 1)].into();
        let plan = plan(0, &pods, &crowd, Timestamp::UNIX_EPOCH);
        let names: Vec<_> = plan.delete.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["unassigned", "unready", "crowded", "ready", "costly"]);
    }
}
