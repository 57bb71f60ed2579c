//! Whether this node can take a pod. Pure but for the facts that it is handed.
//!
//! Upstream: pkg/kubelet/lifecycle/predicate.go; reasons and messages to the letter.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use crate::context::Context;
use crate::eviction::Pressure;
use crate::pod::qos::{Qos, qos, request};
use crate::pod::status::Verdict;
use crate::pods;

mod app_armor;
mod sysctls;

/// What the node offers.
pub(crate) struct Node<'a> {
    pub name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub cpu_milli: i128,
    pub memory_bytes: i128,
    pub pods: i128,
}

pub(crate) fn admit(context: &Context, pod: &Pod, others: &[Arc<Pod>]) -> Result<(), Verdict> {
    let began = pod.status.as_ref().is_some_and(|s| s.start_time.is_some());
    if began || pods::is_finished(pod) || pods::deletion_requested(pod).is_some() {
        // Accepted before, or past accepting.
        return Ok(());
    }
    let labels = crate::node::register::labels(&context.config);
    let current = context.node.list().first().and_then(|node| node.metadata.labels.clone());
    let node = Node {
        name: &context.config.node_name,
        labels: current.as_ref().unwrap_or(&labels),
        cpu_milli: context.capacity.allocatable_cpu_milli(&context.config).into(),
        memory_bytes: context.capacity.allocatable_memory(&context.config).into(),
        pods: context.config.max_pods.into(),
    };
    under_pressure(pod, *context.pressure.borrow())?;
    check(pod, others, &node)?;
    sysctls::check(pod)?;
    app_armor::check(pod, app_armor::on_this_host())
}

/// A node that is short of something takes only what it may not refuse; of memory, only best-effort pods cost too much.
///
/// Upstream: pkg/kubelet/eviction/eviction_manager.go, Admit.
fn under_pressure(pod: &Pod, pressure: Pressure) -> Result<(), Verdict> {
    let names = pressure.names();
    let only_memory = names == ["MemoryPressure"];
    let critical = pods::is_static(pod) || pods::spec(pod).priority.is_some_and(|p| p >= 2_000_000_000);
    let tolerates = || {
        pods::spec(pod).tolerations.iter().flatten().any(|toleration| {
            let key = toleration.key.as_deref().unwrap_or_default();
            key.is_empty() || key == "node.kubernetes.io/memory-pressure"
        })
    };
    if names.is_empty() || critical || only_memory && (qos(pod) != Qos::BestEffort || tolerates()) {
        return Ok(());
    }
    Err(rejected_for("Evicted", &format!("The node had condition: [{}]. ", names.join(", "))))
}

fn check(pod: &Pod, others: &[Arc<Pod>], node: &Node<'_>) -> Result<(), Verdict> {
    let spec = pods::spec(pod);
    if spec.node_name.as_deref().is_some_and(|name| name != node.name) {
        return Err(rejected_for(
            "NodeName",
            "Predicate NodeName failed: node(s) didn't match the requested node name",
        ));
    }
    let selector = spec.node_selector.iter().flatten();
    if selector.into_iter().any(|(key, value)| node.labels.get(key) != Some(value)) {
        return Err(rejected_for(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ));
    }
    let active: Vec<&Arc<Pod>> = others.iter().filter(|p| !pods::is_finished(p)).collect();
    fits("pods", 1, active.len() as i128, node.pods)?;
    let used = |resource: &str| active.iter().map(|p| total(p, resource)).sum::<i128>();
    fits("cpu", total(pod, "cpu"), used("cpu"), node.cpu_milli)?;
    fits("memory", total(pod, "memory") / 1000, used("memory") / 1000, node.memory_bytes)
}

fn rejected_for(reason: &str, message: &str) -> Verdict {
    Verdict { reason: reason.into(), message: format!("Pod was rejected: {message}") }
}

fn fits(resource: &str, requested: i128, used: i128, capacity: i128) -> Result<(), Verdict> {
    if requested == 0 || used + requested <= capacity {
        return Ok(());
    }
    let message = format!(
        "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    );
    Err(rejected_for(&format!("OutOf{resource}"), &message))
}

/// Thousandths that a pod asks for: its containers together, or its largest init container.
pub(crate) fn total(pod: &Pod, resource: &str) -> i128 {
    let main: i128 = pods::containers(pod).iter().map(|c| request(c, resource)).sum();
    let (mut sidecars, mut most) = (0, 0);
    for container in pods::init_containers(pod) {
        let asked = request(container, resource);
        if pods::is_sidecar(container) {
            sidecars += asked;
            most = most.max(sidecars);
        } else {
            most = most.max(sidecars + asked);
        }
    }
    (main + sidecars).max(most)
}
