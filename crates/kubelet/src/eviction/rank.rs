//! Who goes first, and what that pod is told.
//!
//! Upstream: pkg/kubelet/eviction/helpers.go: those that use more than they asked for, then the less important, then
//! by how much more.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::signals::Signal;
use super::thresholds::Crossed;
use super::usage::Usage;
use crate::pod::qos::request;
use crate::pod::status::Verdict;
use crate::pods;

/// Pods from this priority on are the cluster's own.
const CRITICAL: i32 = 2_000_000_000;

/// Those that may be evicted, the first to go first.
pub(super) fn rank(signal: Signal, mut pods: Vec<(Arc<Pod>, Usage)>) -> Vec<(Arc<Pod>, Usage)> {
    pods.retain(|(pod, _)| !is_critical(pod));
    pods.sort_by_cached_key(|(pod, usage)| {
        let over = used(signal, usage) as i128 - requested(signal, pod);
        (Reverse(over > 0), pods::spec(pod).priority.unwrap_or(0), Reverse(over))
    });
    pods
}

/// Static pods stand outside: whoever wrote their file wants them here.
pub(super) fn is_critical(pod: &Pod) -> bool {
    pods::is_static(pod) || pods::spec(pod).priority.is_some_and(|priority| priority >= CRITICAL)
}

fn used(signal: Signal, usage: &Usage) -> u64 {
    match signal {
        Signal::MemoryAvailable => usage.memory_bytes(),
        Signal::NodeFsAvailable | Signal::NodeFsInodesFree => usage.disk_bytes(),
        Signal::PidAvailable => 0,
    }
}

fn requested(signal: Signal, pod: &Pod) -> i128 {
    match signal {
        Signal::MemoryAvailable | Signal::NodeFsAvailable => {
            crate::admission::total(pod, signal.resource()) / 1000
        }
        Signal::NodeFsInodesFree | Signal::PidAvailable => 0,
    }
}

/// In upstream's words.
pub(super) fn verdict(crossed: &Crossed, pod: &Pod, usage: &Usage) -> Verdict {
    let resource = crossed.reading.signal.resource();
    let mut message = format!(
        "The node was low on resource: {resource}. Threshold quantity: {}, available: {}. ",
        shown(crossed.reading.signal, crossed.threshold),
        shown(crossed.reading.signal, crossed.reading.available)
    );
    let of = match crossed.reading.signal {
        Signal::MemoryAvailable => &usage.memory,
        Signal::NodeFsAvailable => &usage.disk,
        _ => return evicted(message),
    };
    for container in pods::containers(pod) {
        let asked = request(container, resource) / 1000;
        let used = of.get(&container.name).copied().unwrap_or(0);
        if i128::from(used) > asked {
            message += &format!(
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                container.name,
                kibibytes(used),
                asked_text(container, resource)
            );
        }
    }
    evicted(message)
}

pub(super) fn evicted(message: String) -> Verdict {
    Verdict { reason: "Evicted".into(), message }
}

fn asked_text(container: &Container, resource: &str) -> String {
    let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    requests.and_then(|r| r.get(resource)).map_or_else(|| "0".to_owned(), |quantity| quantity.0.clone())
}

fn shown(signal: Signal, value: u64) -> String {
    match signal {
        Signal::MemoryAvailable => kibibytes(value),
        _ => value.to_string(),
    }
}

pub(super) fn kibibytes(bytes: u64) -> String {
    format!("{}Ki", bytes / 1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;
    use serde_json::json;

    use super::super::signals::Reading;
    use super::*;

    fn pod(name: &str, priority: i32, memory: &str) -> Arc<Pod> {
        let container = json!({"name": "c", "resources": {"requests": {"memory": memory}}});
        let spec = json!({"priority": priority, "containers": [container]});
        Arc::new(crate::testing::pod(json!({"metadata": {"name": name}, "spec": spec})))
    }

    fn using(mebibytes: u64) -> Usage {
        Usage { memory: BTreeMap::from([("c".to_owned(), mebibytes << 20)]), ..Usage::default() }
    }

    #[test]
    fn the_greedy_go_first_then_the_unimportant() {
        let pods = vec![
            (pod("modest", 0, "64Mi"), using(32)),
            (pod("critical", CRITICAL, "0"), using(900)),
            (pod("important", 100, "0"), using(500)),
            (pod("greedy", 0, "10Mi"), using(200)),
            (pod("small", 0, "10Mi"), using(20)),
        ];
        let ranked = rank(Signal::MemoryAvailable, pods);
        let names: Vec<&str> = ranked.iter().map(|(pod, _)| pods::name(pod)).collect();
        assert_eq!(names, ["greedy", "small", "important", "modest"]);
        let reading = Reading { signal: Signal::MemoryAvailable, available: 50 << 20, capacity: 1 << 30 };
        let crossed = Crossed { reading, threshold: 100 << 20 };
        let (pod, usage) = &ranked[0];
        expect![[r#"The node was low on resource: memory. Threshold quantity: 102400Ki, available: 51200Ki. Container c was using 204800Ki, request is 10Mi, has larger consumption of memory. "#]]
            .assert_eq(&verdict(&crossed, pod, usage).message);
    }
}
