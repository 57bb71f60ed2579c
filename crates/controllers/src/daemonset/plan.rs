//! Which pods are missing and which are too many. Pure.
//!
//! Upstream: pkg/controller/daemon/daemon_controller.go, `podsShouldBeOnNode`.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::EventType;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{Node, Pod};

use super::fit::{Fit, fit};
use super::template::{node_of, pod_spec};
use crate::history::REVISION_LABEL;
use crate::percent::scaled;
use crate::pods;

/// What is known of a set.
pub(super) struct Scene<'a> {
    pub set: &'a DaemonSet,
    pub spec: &'a DaemonSetSpec,
    /// The hash of the current template's revision.
    pub hash: &'a str,
    /// What every node is to the set.
    pub fits: BTreeMap<String, Fit>,
    pub pods: BTreeMap<String, Vec<Arc<Pod>>>,
    pub now: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Nodes that need a pod.
    pub create: Vec<String>,
    pub delete: Vec<Arc<Pod>>,
    /// Failed pods, deleted too, but not too often on one node.
    pub failed: Vec<(String, Arc<Pod>)>,
    pub say: Vec<(EventType, &'static str, String)>,
}

impl<'a> Scene<'a> {
    pub fn new(
        set: &'a DaemonSet,
        spec: &'a DaemonSetSpec,
        hash: &'a str,
        nodes: &[Arc<Node>],
        owned: &[Arc<Pod>],
        now: Timestamp,
    ) -> Self {
        let daemon = pod_spec(spec);
        let name = |node: &Node| node.metadata.name.clone().unwrap_or_default();
        let fits = nodes.iter().map(|node| (name(node), fit(&daemon, node))).collect();
        let mut pods: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in owned {
            if let Some(node) = node_of(pod) {
                pods.entry(node).or_default().push(pod.clone());
            }
        }
        pods.values_mut().for_each(|pods| pods.sort_by_key(|pod| age(pod)));
        Self { set, spec, hash, fits, pods, now }
    }

    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.pods.get(node).map_or(&[], Vec::as_slice)
    }

    pub fn desired(&self) -> i32 {
        self.fits.values().filter(|fit| **fit == Fit::Runs).count() as i32
    }

    pub fn is_current(&self, pod: &Pod) -> bool {
        pod.metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(REVISION_LABEL))
            .is_some_and(|hash| hash == self.hash)
    }

    pub fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    /// How far a rollout goes above and below one pod a node; none where pods are replaced only when deleted.
    pub fn limits(&self) -> Option<Limits> {
        let strategy = self.spec.update_strategy.clone().unwrap_or_default();
        if strategy.type_.as_deref() == Some("OnDelete") {
            return None;
        }
        let rolling = strategy.rolling_update.unwrap_or_default();
        let scaled = |value| scaled(value, self.desired(), true);
        let surge = rolling.max_surge.as_ref().map_or(0, scaled);
        let unavailable = rolling.max_unavailable.as_ref().map_or(1, scaled);
        // Both 0 would never move.
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Some(Limits { surge, unavailable })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub surge: i32,
    pub unavailable: i32,
}

/// The oldest first; of equals those that are on a node.
fn age(pod: &Pod) -> impl Ord + use<> {
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (pods::node_name(pod).is_none(), created, pod.metadata.name.clone())
}

pub(super) fn plan(scene: &Scene<'_>) -> Plan {
    let mut plan = Plan::default();
    for (node, fit) in &scene.fits {
        let pods = scene.on(node);
        match fit {
            Fit::Runs if pods.is_empty() => plan.create.push(node.clone()),
            Fit::Runs | Fit::Stays => keep_one(scene, node, &mut plan),
            Fit::Never => plan.delete.extend(pods.iter().filter(|pod| !pods::is_terminating(pod)).cloned()),
        }
    }
    // Meant for a node that went before they got there.
    let lost =
        scene.pods.iter().filter(|(node, _)| !scene.fits.contains_key(*node)).flat_map(|(_, pods)| pods);
    plan.delete
        .extend(lost.filter(|pod| pods::node_name(pod).is_none() && !pods::is_terminating(pod)).cloned());
    plan
}

fn keep_one(scene: &Scene<'_>, node: &str, plan: &mut Plan) {
    let mut running = Vec::new();
    for pod in scene.on(node).iter().filter(|pod| !pods::is_terminating(pod)) {
        let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
        let name = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
        match pods::phase(pod) {
            "Failed" => plan.failed.push((node.to_owned(), pod.clone())),
            "Succeeded" => {
                let message =
                    format!("Found succeeded daemon pod {name} on node {node}, will try to delete it");
                plan.say.push((EventType::Normal, "SucceededDaemonPod", message));
                plan.delete.push(pod.clone());
            }
            _ => running.push(pod.clone()),
        }
    }
    if running.len() <= 1 {
        return;
    }
    if scene.limits().is_none_or(|limits| limits.surge == 0) {
        plan.delete.extend(running.into_iter().skip(1));
        return;
    }
    let (mut new, mut old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| scene.is_current(pod));
    plan.delete.extend(new.drain(1.min(new.len())..));
    plan.delete.extend(old.drain(1.min(old.len())..));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!pods::is_ready(old) || scene.is_available(new))
    {
        plan.delete.push(old.clone());
    }
}
