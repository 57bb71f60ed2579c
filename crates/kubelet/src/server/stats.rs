//! Figures: the summary API and Prometheus text.
//!
//! Upstream: pkg/kubelet/server/stats, pkg/kubelet/metrics/collectors/resource_metrics.go.

use std::collections::BTreeMap;
use std::fmt::Write;
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

async fn containers(context: &Context) -> Result<Vec<pb::ContainerStats>, Refusal> {
    context.cri.container_stats().await.map_err(|error| Refusal::internal(error.said()))
}

/// Identity of a container: pod name, namespace, UID, container name.
fn owner(stats: &pb::ContainerStats) -> Option<[&str; 4]> {
    let known = &stats.attributes.as_ref()?.labels;
    let keys = [labels::POD_NAME, labels::POD_NAMESPACE, labels::POD_UID, labels::CONTAINER_NAME];
    let values: Vec<&str> = keys.iter().filter_map(|key| known.get(*key).map(String::as_str)).collect();
    values.try_into().ok()
}

pub(super) async fn summary(context: &Context) -> Result<String, Refusal> {
    let all = containers(context).await?;
    let mut pods: BTreeMap<&str, (Value, Vec<&pb::ContainerStats>)> = BTreeMap::new();
    for stats in &all {
        if let Some([name, namespace, uid, _]) = owner(stats) {
            let reference = json!({"name": name, "namespace": namespace, "uid": uid});
            pods.entry(uid).or_insert_with(|| (reference, Vec::new())).1.push(stats);
        }
    }
    let now = context.config.clock.now();
    let pods: Vec<Value> = pods.into_values().map(|(reference, list)| pod(reference, &list, now)).collect();
    let node = json!({"nodeName": context.config.node_name, "startTime": now, "cpu": node_cpu(now), "memory": node_memory(now)});
    Ok(json!({"node": node, "pods": pods}).to_string())
}

fn pod(reference: Value, list: &[&pb::ContainerStats], now: Timestamp) -> Value {
    let containers: Vec<Value> = list.iter().map(|stats| container(stats)).collect();
    let sum = |of: fn(&pb::ContainerStats) -> u64| list.iter().map(|stats| of(stats)).sum::<u64>();
    json!({
        "podRef": reference,
        "startTime": now,
        "containers": containers,
        "cpu": {"time": now, "usageNanoCores": sum(nano_cores), "usageCoreNanoSeconds": sum(cpu)},
        "memory": {"time": now, "workingSetBytes": sum(memory), "usageBytes": sum(memory)},
    })
}

fn container(stats: &pb::ContainerStats) -> Value {
    let at = |nanoseconds: i64| time(nanoseconds).unwrap_or_default();
    let name = owner(stats).map_or("", |[_, _, _, name]| name);
    let cpu_at = stats.cpu.as_ref().map_or(0, |c| c.timestamp);
    let memory_at = stats.memory.as_ref().map_or(0, |m| m.timestamp);
    json!({
        "name": name,
        "startTime": at(cpu_at),
        "cpu": {"time": at(cpu_at), "usageNanoCores": nano_cores(stats), "usageCoreNanoSeconds": cpu(stats)},
        "memory": {"time": at(memory_at), "workingSetBytes": memory(stats), "usageBytes": memory(stats)},
    })
}

fn cpu(stats: &pb::ContainerStats) -> u64 {
    stats.cpu.as_ref().and_then(|c| c.usage_core_nano_seconds.as_ref()).map_or(0, |v| v.value)
}

fn nano_cores(stats: &pb::ContainerStats) -> u64 {
    stats.cpu.as_ref().and_then(|c| c.usage_nano_cores.as_ref()).map_or(0, |v| v.value)
}

fn memory(stats: &pb::ContainerStats) -> u64 {
    stats.memory.as_ref().and_then(|m| m.working_set_bytes.as_ref()).map_or(0, |v| v.value)
}

/// The kernel counts in hundredths of a second.
fn node_cpu_nanoseconds() -> u64 {
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

fn node_memory_used() -> (u64, u64) {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = field(&table, "MemAvailable:") * 1024;
    (field(&table, "MemTotal:") * 1024 - available, available)
}

fn node_memory(now: Timestamp) -> Value {
    let (used, available) = node_memory_used();
    json!({"time": now, "workingSetBytes": used, "usageBytes": used, "availableBytes": available})
}

pub(super) async fn resource(context: &Context) -> Result<String, Refusal> {
    let all = containers(context).await?;
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{args}");
    };
    line(format_args!("# TYPE container_cpu_usage_seconds_total counter"));
    for stats in &all {
        if let Some([pod, namespace, _, name]) = owner(stats) {
            let seconds = cpu(stats) as f64 / 1e9;
            line(format_args!(
                "container_cpu_usage_seconds_total{{container={name:?},namespace={namespace:?},pod={pod:?}}} {seconds}"
            ));
        }
    }
    line(format_args!("# TYPE container_memory_working_set_bytes gauge"));
    for stats in &all {
        if let Some([pod, namespace, _, name]) = owner(stats) {
            let bytes = memory(stats);
            line(format_args!(
                "container_memory_working_set_bytes{{container={name:?},namespace={namespace:?},pod={pod:?}}} {bytes}"
            ));
        }
    }
    line(format_args!("# TYPE node_cpu_usage_seconds_total counter"));
    line(format_args!("node_cpu_usage_seconds_total {}", node_cpu_nanoseconds() as f64 / 1e9));
    line(format_args!("# TYPE node_memory_working_set_bytes gauge"));
    line(format_args!("node_memory_working_set_bytes {}", node_memory_used().0));
    line(format_args!("# TYPE scrape_error gauge\nscrape_error 0"));
    Ok(text)
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
