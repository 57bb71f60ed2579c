//! Requests and limits in the kernel's terms.
//!
//! Upstream: pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go.

use cri::v1 as pb;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::qos::{Qos, limit, qos, request};
use crate::config::Config;
use crate::pods;

const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
/// 100 ms, in microseconds.
const PERIOD: i64 = 100_000;
/// The kernel takes no shorter quota than 1 ms.
const MIN_QUOTA: i64 = 1000;

/// `/kubepods/burstable/pod<uid>`.
pub(crate) fn pod_cgroup(config: &Config, pod: &Pod) -> String {
    let class = match qos(pod) {
        Qos::Guaranteed => "",
        Qos::Burstable => "/burstable",
        Qos::BestEffort => "/besteffort",
    };
    format!("/{}{class}/pod{}", config.cgroup_root, pods::uid(pod))
}

pub(crate) fn resources(pod: &Pod, container: &Container, node_memory: u64) -> pb::LinuxContainerResources {
    let (cpu_request, cpu_limit) = (request(container, "cpu"), limit(container, "cpu"));
    // A limit without a request is a request too.
    let shares = if cpu_request == 0 && cpu_limit > 0 { cpu_limit } else { cpu_request };
    let memory = limit(container, "memory") / 1000;
    pb::LinuxContainerResources {
        cpu_shares: milli_to_shares(shares),
        cpu_period: PERIOD,
        cpu_quota: milli_to_quota(cpu_limit),
        memory_limit_in_bytes: i64::try_from(memory).unwrap_or(i64::MAX),
        oom_score_adj: oom_score(pod, container, node_memory),
        ..Default::default()
    }
}

fn milli_to_shares(milli: i128) -> i64 {
    let shares = i64::try_from(milli * 1024 / 1000).unwrap_or(MAX_SHARES);
    shares.clamp(MIN_SHARES, MAX_SHARES)
}

fn milli_to_quota(milli: i128) -> i64 {
    if milli == 0 {
        return 0;
    }
    i64::try_from(milli * i128::from(PERIOD) / 1000).unwrap_or(i64::MAX).max(MIN_QUOTA)
}

/// The higher, the sooner the kernel kills it: 1000 for best effort, by its share of memory for burstable.
fn oom_score(pod: &Pod, container: &Container, node_memory: u64) -> i64 {
    const CRITICAL: i32 = 2_000_000_000;
    if pods::spec(pod).priority.is_some_and(|p| p >= CRITICAL) {
        return -997;
    }
    match qos(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let memory = request(container, "memory") / 1000;
            let share = 1000 * memory / i128::from(node_memory.max(1));
            i64::try_from(1000 - share).unwrap_or(3).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_as_upstream() {
        assert_eq!([0, 1, 10, 1000, 2500].map(milli_to_shares), [2, 2, 10, 1024, 2560]);
        assert_eq!([0, 1, 100, 1500].map(milli_to_quota), [0, 1000, 10_000, 150_000]);
    }
}
