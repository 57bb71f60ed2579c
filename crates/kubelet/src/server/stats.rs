//! Figures: the summary API, and how many pods there are.
//!
//! Upstream: pkg/kubelet/server/stats.

use std::collections::BTreeMap;
use std::fs;

use cri::v1 as pb;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Refusal;
use crate::context::Context;
use crate::node::capacity::field;
use crate::pod_manager::Workers;
use crate::runtime::labels;
use crate::runtime::state::time;

pub(super) async fn containers(context: &Context) -> Result<Vec<pb::ContainerStats>, Refusal> {
    context.cri.container_stats().await.map_err(|error| Refusal::internal(error.said()))
}

/// Whose a container is.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub pod: &'a str,
    pub namespace: &'a str,
    pub uid: &'a str,
    pub container: &'a str,
}

/// `None` for containers that are not a pod's.
pub(super) fn owner(stats: &pb::ContainerStats) -> Option<Owner<'_>> {
    let known = &stats.attributes.as_ref()?.labels;
    let label = |key: &str| known.get(key).map(String::as_str);
    Some(Owner {
        pod: label(labels::POD_NAME)?,
        namespace: label(labels::POD_NAMESPACE)?,
        uid: label(labels::POD_UID)?,
        container: label(labels::CONTAINER_NAME)?,
    })
}

pub(super) fn id(stats: &pb::ContainerStats) -> &str {
    stats.attributes.as_ref().map_or("", |attributes| &attributes.id)
}

/// When a container was started, as its pod's worker saw it last.
pub(super) fn started(workers: &Workers, uid: &str, id: &str) -> Option<Timestamp> {
    let handle = workers.handle(uid)?;
    let seen = handle.runtime.borrow();
    time(seen.containers.iter().find(|container| container.id == id)?.started)
}

pub(super) async fn summary(context: &Context, workers: &Workers) -> Result<String, Refusal> {
    let all = containers(context).await?;
    let mut pods: BTreeMap<&str, (Value, Vec<&pb::ContainerStats>)> = BTreeMap::new();
    for stats in &all {
        if let Some(Owner { pod, namespace, uid, .. }) = owner(stats) {
            let reference = json!({"name": pod, "namespace": namespace, "uid": uid});
            pods.entry(uid).or_insert_with(|| (reference, Vec::new())).1.push(stats);
        }
    }
    let now = context.config.clock.now();
    let pods: Vec<Value> =
        pods.into_values().map(|(reference, list)| pod(reference, &list, workers, now)).collect();
    let node = json!({"nodeName": context.config.node_name, "startTime": now, "cpu": node_cpu(now), "memory": node_memory(now)});
    Ok(json!({"node": node, "pods": pods}).to_string())
}

fn pod(reference: Value, list: &[&pb::ContainerStats], workers: &Workers, now: Timestamp) -> Value {
    let uid = reference["uid"].as_str().unwrap_or_default().to_owned();
    let containers: Vec<Value> =
        list.iter().map(|stats| container(stats, started(workers, &uid, id(stats)))).collect();
    let began = list.iter().filter_map(|stats| started(workers, &uid, id(stats))).min();
    let sum = |of: fn(&pb::ContainerStats) -> u64| list.iter().map(|stats| of(stats)).sum::<u64>();
    json!({
        "podRef": reference,
        "startTime": began.unwrap_or(now),
        "containers": containers,
        "cpu": {"time": now, "usageNanoCores": sum(nano_cores), "usageCoreNanoSeconds": sum(cpu)},
        "memory": {"time": now, "workingSetBytes": sum(memory), "usageBytes": sum(memory)},
    })
}

fn container(stats: &pb::ContainerStats, started: Option<Timestamp>) -> Value {
    let at = |nanoseconds: i64| time(nanoseconds).unwrap_or_default();
    let name = owner(stats).map_or("", |owner| owner.container);
    let cpu_at = stats.cpu.as_ref().map_or(0, |c| c.timestamp);
    let memory_at = stats.memory.as_ref().map_or(0, |m| m.timestamp);
    json!({
        "name": name,
        "startTime": started.unwrap_or_else(|| at(cpu_at)),
        "cpu": {"time": at(cpu_at), "usageNanoCores": nano_cores(stats), "usageCoreNanoSeconds": cpu(stats)},
        "memory": {"time": at(memory_at), "workingSetBytes": memory(stats), "usageBytes": memory(stats)},
    })
}

pub(super) fn cpu(stats: &pb::ContainerStats) -> u64 {
    stats.cpu.as_ref().and_then(|c| c.usage_core_nano_seconds.as_ref()).map_or(0, |v| v.value)
}

fn nano_cores(stats: &pb::ContainerStats) -> u64 {
    stats.cpu.as_ref().and_then(|c| c.usage_nano_cores.as_ref()).map_or(0, |v| v.value)
}

pub(super) fn memory(stats: &pb::ContainerStats) -> u64 {
    stats.memory.as_ref().and_then(|m| m.working_set_bytes.as_ref()).map_or(0, |v| v.value)
}

/// The kernel counts in hundredths of a second.
pub(super) fn node_cpu_nanoseconds() -> u64 {
    let table = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = table.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, then idle and iowait, then what interrupts took.
    let busy: u64 =
        ticks.iter().enumerate().filter(|(i, _)| ![3, 4].contains(i) && *i < 8).map(|(_, n)| n).sum();
    busy * 10_000_000
}

fn node_cpu(now: Timestamp) -> Value {
    json!({"time": now, "usageCoreNanoSeconds": node_cpu_nanoseconds()})
}

pub(super) fn node_memory_used() -> (u64, u64) {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = field(&table, "MemAvailable:") * 1024;
    (field(&table, "MemTotal:") * 1024 - available, available)
}

fn node_memory(now: Timestamp) -> Value {
    let (used, available) = node_memory_used();
    json!({"time": now, "workingSetBytes": used, "usageBytes": used, "availableBytes": available})
}

pub(super) fn metrics(workers: &Workers) -> String {
    let pods = workers.pods();
    let running = pods.iter().filter(|pod| {
        workers.handle(crate::pods::uid(pod)).is_some_and(|handle| handle.runtime.borrow().is_running())
    });
    format!(
        "# TYPE kubelet_desired_pods gauge\nkubelet_desired_pods {}\n# TYPE kubelet_running_pods gauge\nkubelet_running_pods {}\n",
        pods.len(),
        running.count()
    )
}
