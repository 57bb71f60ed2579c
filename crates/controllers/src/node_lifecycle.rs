//! Notices nodes that stopped reporting, and keeps the taints that tell their state.
//!
//! Upstream: pkg/controller/nodelifecycle. Differs: the deadline of each node is a timer of its own, not a scan every
//! 5 s. Zones and their eviction rates are not told apart yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Controller, EventType, Key, Next, Reconcile, Store, reference};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use serde_json::json;

use crate::context::Context;
use crate::pods;

/// Without a sign of life for this long a node is Unknown (upstream's --node-monitor-grace-period).
const GRACE: Duration = Duration::from_secs(50);
/// The same for a node that has never reported (upstream's --node-startup-grace-period).
const STARTUP_GRACE: Duration = Duration::from_secs(60);

pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions that a silent kubelet can no longer vouch for.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

struct Reconciler {
    context: Context,
    nodes: Store<Node>,
    leases: Store<Lease>,
    pods: Store<Pod>,
    /// Per node the last sign of life, by our own clock: other machines' clocks are not trusted.
    signs: Mutex<HashMap<String, Sign>>,
}

#[derive(Clone, PartialEq)]
struct Sign {
    renewed: Option<Timestamp>,
    ready: Option<(String, Option<Time>)>,
    seen: Duration,
}

pub(crate) async fn start(context: Context) {
    let (nodes, pods) = (context.hub.store::<Node>(), context.hub.store::<Pod>());
    let leases = context.hub.store::<Lease>();
    pods.add_index("node", |pod| pods::node_name(pod).map(str::to_owned).into_iter().collect());
    if !(nodes.synced().await && leases.synced().await && pods.synced().await) {
        return;
    }
    Controller::new("node", &context.hub)
        .reconciles(&nodes)
        .watches(&leases, |change| {
            let meta = &change.object().metadata;
            let of_node = meta.namespace.as_deref() == Some("kube-node-lease");
            meta.name.iter().filter(|_| of_node).map(|name| Key::new("", name.clone())).collect()
        })
        .run(Arc::new(Reconciler { context, nodes, leases, pods, signs: Mutex::default() }));
}

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

pub(crate) fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|condition| condition.status == "True")
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(node) = self.nodes.get(key) else {
            self.signs.lock().remove(&key.name);
            return Ok(Next::AwaitChange);
        };
        let grace = if condition(&node, "Ready").is_some() { GRACE } else { STARTUP_GRACE };
        let silent = self.silence(&node, &key.name);
        let node = match grace.checked_sub(silent).filter(|left| !left.is_zero()) {
            Some(_) => node,
            None => self.mark_unknown(node).await?,
        };
        self.sync_taints(&node).await?;
        if !is_ready(&node) {
            self.mark_pods(&key.name).await?;
        }
        let left = grace.checked_sub(silent).filter(|left| !left.is_zero());
        Ok(left.map_or(Next::AwaitChange, Next::After))
    }
}

impl Reconciler {
    /// How long the node has not given a sign of life.
    fn silence(&self, node: &Node, name: &str) -> Duration {
        let lease = self.leases.get(&Key::new("kube-node-lease", name));
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        let ready = condition(node, "Ready").map(|c| (c.status.clone(), c.last_heartbeat_time.clone()));
        let now = self.context.clock.monotonic();
        let mut signs = self.signs.lock();
        match signs.get(name) {
            // An Unknown that we wrote ourselves is no sign of life.
            Some(old) if old.renewed == renewed && (old.ready == ready || is_unknown(&ready)) => {
                now.saturating_sub(old.seen)
            }
            _ => {
                signs.insert(name.to_owned(), Sign { renewed, ready, seen: now });
                Duration::ZERO
            }
        }
    }

    async fn mark_unknown(&self, node: Arc<Node>) -> kube::Result<Arc<Node>> {
        let now = Time(self.context.clock.now());
        let mut changed = (*node).clone();
        let status = changed.status.get_or_insert_default();
        if !set_unknown(status, node.metadata.creation_timestamp.as_ref(), &now) {
            return Ok(node);
        }
        let name = node.metadata.name.as_deref().unwrap_or_default();
        tracing::warn!(node = name, "node stopped reporting");
        let message = format!("Node {name} status is now: NodeNotReady");
        self.context.recorder.event(&reference(&*node), EventType::Normal, "NodeNotReady", message);
        let api: Api<Node> = Api::all(self.context.client.clone());
        api.replace_status(name, &PostParams::default(), &changed).await.map(Arc::new)
    }

    /// Writes the taints that the node's state asks for, and takes away those that it no longer does.
    async fn sync_taints(&self, node: &Node) -> kube::Result<()> {
        let now = Time(self.context.clock.now());
        let current = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let taints = taints(node, &current, &now);
        if taints == current {
            return Ok(());
        }
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let version = node.metadata.resource_version.as_deref();
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
        let api: Api<Node> = Api::all(self.context.client.clone());
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if !client::is_not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Pods of a node that is not ready are not ready either: they leave the endpoints.
    async fn mark_pods(&self, node: &str) -> kube::Result<()> {
        for pod in self.pods.by_index("node", node).into_iter().filter(|pod| pods::is_ready(pod)) {
            let key = Key::of(&*pod);
            let now = self.context.clock.now().to_string();
            let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [
                {"type": "Ready", "status": "False", "reason": "NodeNotReady", "lastTransitionTime": now}]}});
            let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
            match api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                Err(error) if !client::is_not_found(&error) && !client::is_conflict(&error) => {
                    return Err(error);
                }
                _ => {}
            }
            let about = reference(&*pod);
            self.context.recorder.event(&about, EventType::Warning, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }
}

fn is_unknown(ready: &Option<(String, Option<Time>)>) -> bool {
    ready.as_ref().is_some_and(|(status, _)| status == "Unknown")
}

/// Marks what the kubelet reports as Unknown; false if it was already.
fn set_unknown(status: &mut NodeStatus, created: Option<&Time>, now: &Time) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    let mut changed = false;
    for kind in REPORTED {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            Some(condition) if condition.status == "Unknown" => {}
            Some(condition) => {
                condition.status = "Unknown".into();
                condition.reason = Some("NodeStatusUnknown".into());
                condition.message = Some("Kubelet stopped posting node status.".into());
                condition.last_transition_time = Some(now.clone());
                changed = true;
            }
            None => {
                conditions.push(NodeCondition {
                    type_: kind.into(),
                    status: "Unknown".into(),
                    reason: Some("NodeStatusNeverUpdated".into()),
                    message: Some("Kubelet never posted node status.".into()),
                    last_heartbeat_time: created.cloned(),
                    last_transition_time: Some(now.clone()),
                });
                changed = true;
            }
        }
    }
    changed
}

/// The taints that a node's conditions ask for: key, effect.
fn asked_for(node: &Node) -> Vec<(&'static str, &'static str)> {
    let is = |kind: &str, status: &str| condition(node, kind).is_some_and(|c| c.status == status);
    let ready = condition(node, "Ready").map_or("Unknown", |c| c.status.as_str());
    let mut asked = match ready {
        "True" => vec![],
        "False" => vec![(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
        _ => vec![(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
    };
    for (kind, key) in [
        ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "node.kubernetes.io/pid-pressure"),
        ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ] {
        if is(kind, "True") {
            asked.push((key, "NoSchedule"));
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        asked.push((UNSCHEDULABLE, "NoSchedule"));
    }
    asked
}

fn taints(node: &Node, current: &[Taint], now: &Time) -> Vec<Taint> {
    const OURS: [&str; 7] = [
        NOT_READY,
        UNREACHABLE,
        UNSCHEDULABLE,
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/network-unavailable",
    ];
    let asked = asked_for(node);
    let is_asked =
        |taint: &Taint| asked.iter().any(|(key, effect)| taint.key == *key && taint.effect == *effect);
    let mut taints: Vec<Taint> = current
        .iter()
        .filter(|taint| !OURS.contains(&taint.key.as_str()) || is_asked(taint))
        .cloned()
        .collect();
    for (key, effect) in asked {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            let time_added = (effect == "NoExecute").then(|| now.clone());
            taints.push(Taint { key: key.into(), effect: effect.into(), value: None, time_added });
        }
    }
    taints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, unschedulable: bool) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"unschedulable": unschedulable},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
        .expect("a node")
    }

    fn told(node: &Node, current: &[Taint]) -> String {
        let taints = taints(node, current, &Time(Timestamp::UNIX_EPOCH));
        let short = |t: &Taint| format!("{}:{}", t.key.rsplit('/').next().expect("one"), t.effect);
        taints.iter().map(short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn taints_follow_conditions_and_leave_others_alone() {
        let own = Taint { key: "mine".into(), effect: "NoSchedule".into(), ..Taint::default() };
        let stale = Taint { key: NOT_READY.into(), effect: "NoSchedule".into(), ..Taint::default() };
        assert_eq!(told(&node("True", false), &[own.clone(), stale.clone()]), "mine:NoSchedule");
        assert_eq!(
            told(&node("False", false), &[own]),
            "mine:NoSchedule not-ready:NoSchedule not-ready:NoExecute"
        );
        assert_eq!(
            told(&node("Unknown", true), &[stale]),
            "unreachable:NoSchedule unreachable:NoExecute unschedulable:NoSchedule"
        );
    }

    #[test]
    fn a_node_that_never_reported_gets_all_conditions() {
        let mut status = NodeStatus::default();
        let now = Time(Timestamp::UNIX_EPOCH);
        assert!(set_unknown(&mut status, None, &now));
        assert_eq!(status.conditions.as_ref().map(Vec::len), Some(REPORTED.len()));
        assert!(!set_unknown(&mut status, None, &now));
    }
}
