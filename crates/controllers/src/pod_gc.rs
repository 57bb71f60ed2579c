//! Deletes pods that nobody else will: finished ones beyond a threshold, those of nodes that are gone, and those
//! that were deleted before they were scheduled.
//!
//! Upstream: pkg/controller/podgc. Differs: driven by changes, not every 20 s.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use crate::context::Context;
use crate::pods;

/// Finished pods that may stay (upstream's default of --terminated-pod-gc-threshold).
const FINISHED_THRESHOLD: usize = 12500;
/// How long a node must be gone before its pods are (upstream: 40 s).
const QUARANTINE: Duration = Duration::from_secs(40);

/// Everything is looked at under one key: each look needs all pods.
fn everything() -> Vec<Key> {
    vec![Key::default()]
}

struct Reconciler {
    context: Context,
    pods: Store<Pod>,
    nodes: Store<Node>,
    /// When a node that pods name was first missed, by the clock's monotonic time.
    missing: parking_lot::Mutex<std::collections::HashMap<String, Duration>>,
}

pub(crate) async fn start(context: Context) {
    let (pods, nodes) = (context.hub.store::<Pod>(), context.hub.store::<Node>());
    if !(pods.synced().await && nodes.synced().await) {
        return;
    }
    Controller::new("pod-garbage-collector", &context.hub)
        .workers(1)
        .watches(&pods, |change| match change {
            Change::Applied { new, .. } if pods::is_finished(new) || pods::is_terminating(new) => {
                everything()
            }
            Change::Applied { old: None, .. } => everything(),
            _ => Vec::new(),
        })
        .watches(&nodes, |change| match change {
            Change::Deleted(_) => everything(),
            Change::Applied { .. } => Vec::new(),
        })
        .run(Arc::new(Reconciler { context, pods, nodes, missing: parking_lot::Mutex::default() }));
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, _: &Key) -> Result<Next, BoxError> {
        let all = self.pods.list();
        for pod in surplus_finished(&all, FINISHED_THRESHOLD) {
            self.delete(pod, false).await?;
        }
        for pod in all.iter().filter(|pod| pods::is_terminating(pod) && pods::node_name(pod).is_none()) {
            self.delete(pod, true).await?;
        }
        self.orphans(&all).await
    }
}

/// The oldest finished pods beyond `most`.
fn surplus_finished(all: &[Arc<Pod>], most: usize) -> Vec<&Arc<Pod>> {
    let mut finished: Vec<_> =
        all.iter().filter(|pod| pods::is_finished(pod) && !pods::is_terminating(pod)).collect();
    let surplus = finished.len().saturating_sub(most);
    finished.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    finished.truncate(surplus);
    finished
}

impl Reconciler {
    async fn orphans(&self, all: &[Arc<Pod>]) -> Result<Next, BoxError> {
        let now = self.context.clock.monotonic();
        let mut soonest: Option<Duration> = None;
        let mut lost = Vec::new();
        {
            let mut missing = self.missing.lock();
            missing.retain(|node, _| self.nodes.get(&Key::new("", node.clone())).is_none());
            for pod in all {
                let Some(node) = pods::node_name(pod) else { continue };
                if self.nodes.get(&Key::new("", node)).is_some() {
                    continue;
                }
                let waited = now.saturating_sub(*missing.entry(node.to_owned()).or_insert(now));
                match QUARANTINE.checked_sub(waited).filter(|left| !left.is_zero()) {
                    Some(left) => soonest = Some(soonest.map_or(left, |soonest| soonest.min(left))),
                    None => lost.push((pod.clone(), node.to_owned())),
                }
            }
        }
        for (pod, node) in lost {
            if self.is_gone(&node).await? {
                self.delete(&pod, true).await?;
            }
        }
        Ok(soonest.map_or(Next::AwaitChange, Next::After))
    }

    async fn is_gone(&self, node: &str) -> kube::Result<bool> {
        let api: Api<Node> = Api::all(self.context.client.clone());
        Ok(api.get_opt(node).await?.is_none())
    }

    /// Deletes at once; a pod that never finished is marked as failed first, so that its owner counts it right.
    async fn delete(&self, pod: &Pod, mark: bool) -> kube::Result<()> {
        let key = Key::of(pod);
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        if mark && !pods::is_finished(pod) {
            let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"phase": "Failed", "conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists", "lastTransitionTime": self.context.clock.now().to_string()}]}});
            ignore_gone(
                api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await,
            )?;
        }
        let same = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let now = DeleteParams::default().grace_period(0).preconditions(same);
        ignore_gone(api.delete(&key.name, &now).await)
    }
}

fn ignore_gone<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Err(error) if !client::is_not_found(&error) && !client::is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_finished_pods_go() {
        let pod = |name: &str, phase: &str, at: &str| -> Arc<Pod> {
            let pod =
                json!({"metadata": {"name": name, "creationTimestamp": at}, "status": {"phase": phase}});
            Arc::new(serde_json::from_value(pod).expect("a pod"))
        };
        let all = [
            pod("new", "Failed", "2026-01-03T00:00:00Z"),
            pod("old", "Succeeded", "2026-01-01T00:00:00Z"),
            pod("runs", "Running", "2025-01-01T00:00:00Z"),
        ];
        let names: Vec<_> =
            surplus_finished(&all, 1).iter().map(|p| p.metadata.name.clone().expect("named")).collect();
        assert_eq!(names, ["old"]);
    }
}
