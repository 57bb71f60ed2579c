//! What sandboxes and containers use, from their cgroups and interfaces.

use std::fs;

use cri::v1;
use linux::cgroup::Stats;

use crate::error::Error;
use crate::node::Node;
use crate::record::{Container, Sandbox};
use crate::view::selects;

impl Node {
    pub(crate) async fn container_stats(&self, container: &Container) -> v1::ContainerStats {
        let timestamp = self.now();
        let stats = self.cgroup(&container.spec.cgroup).stats();
        v1::ContainerStats {
            attributes: Some(v1::ContainerAttributes {
                id: container.id.clone(),
                metadata: container.config.metadata.clone(),
                labels: container.config.labels.clone(),
                annotations: container.config.annotations.clone(),
            }),
            cpu: Some(cpu(timestamp, &stats)),
            memory: Some(memory(timestamp, &stats)),
            writable_layer: self.writable_layer(&container.id, timestamp).await,
            swap: stats.swap_usage.map(|used| v1::SwapUsage {
                timestamp,
                swap_available_bytes: None,
                swap_usage_bytes: some(used),
            }),
            io: None,
        }
    }

    async fn writable_layer(&self, id: &str, timestamp: i64) -> Option<v1::FilesystemUsage> {
        match self.config.images.rootfs_usage(id).await {
            Ok(usage) => Some(v1::FilesystemUsage {
                timestamp,
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: self.config.root.display().to_string() }),
                used_bytes: some(usage.bytes),
                inodes_used: some(usage.inodes),
            }),
            Err(error) => {
                tracing::debug!(
                    container = id,
                    error = stdx::error_chain(&error),
                    "no usage of the writable layer"
                );
                None
            }
        }
    }

    pub(crate) async fn list_container_stats(
        &self,
        filter: Option<&v1::ContainerStatsFilter>,
    ) -> Vec<v1::ContainerStats> {
        let mut found = Vec::new();
        for container in self.containers().iter().filter(|c| c.is_running() && wanted(c, filter)) {
            found.push(self.container_stats(container).await);
        }
        found
    }

    pub(crate) async fn sandbox_stats(&self, sandbox: &Sandbox) -> v1::PodSandboxStats {
        let timestamp = self.now();
        let stats = self.cgroup(&sandbox.cgroup_parent).stats();
        let mut containers = Vec::new();
        for container in self.containers_of(&sandbox.id).iter().filter(|c| c.is_running()) {
            containers.push(self.container_stats(container).await);
        }
        v1::PodSandboxStats {
            attributes: Some(v1::PodSandboxAttributes {
                id: sandbox.id.clone(),
                metadata: sandbox.config.metadata.clone(),
                labels: sandbox.config.labels.clone(),
                annotations: sandbox.config.annotations.clone(),
            }),
            linux: Some(v1::LinuxPodSandboxStats {
                cpu: Some(cpu(timestamp, &stats)),
                memory: Some(memory(timestamp, &stats)),
                network: sandbox.pause.filter(|_| !sandbox.host_network()).map(|pid| network(timestamp, pid)),
                process: Some(v1::ProcessUsage { timestamp, process_count: stats.processes.and_then(some) }),
                containers,
                io: None,
            }),
        }
    }

    pub(crate) async fn list_sandbox_stats(
        &self,
        filter: Option<&v1::PodSandboxStatsFilter>,
    ) -> Vec<v1::PodSandboxStats> {
        let wanted = |sandbox: &&Sandbox| {
            sandbox.is_ready()
                && filter.is_none_or(|f| {
                    sandbox.id.starts_with(&f.id) && selects(&f.label_selector, &sandbox.config.labels)
                })
        };
        let mut found = Vec::new();
        for sandbox in self.sandboxes().iter().filter(wanted) {
            found.push(self.sandbox_stats(sandbox).await);
        }
        found
    }

    /// Limits for the pod as a whole, in its parent cgroup.
    pub(crate) fn update_sandbox_resources(
        &self,
        id: &str,
        linux: &v1::LinuxContainerResources,
    ) -> Result<(), Error> {
        let sandbox = self.sandbox(id)?;
        Ok(self.cgroup(&sandbox.cgroup_parent).apply(&(&crate::spec::resources(linux)).into())?)
    }
}

fn wanted(container: &Container, filter: Option<&v1::ContainerStatsFilter>) -> bool {
    filter.is_none_or(|f| {
        container.id.starts_with(&f.id)
            && container.sandbox_id.starts_with(&f.pod_sandbox_id)
            && selects(&f.label_selector, &container.config.labels)
    })
}

fn some(value: u64) -> Option<v1::UInt64Value> {
    Some(v1::UInt64Value { value })
}

fn cpu(timestamp: i64, stats: &Stats) -> v1::CpuUsage {
    v1::CpuUsage {
        timestamp,
        usage_core_nano_seconds: stats.cpu_nanoseconds.and_then(some),
        usage_nano_cores: None,
        psi: None,
    }
}

fn memory(timestamp: i64, stats: &Stats) -> v1::MemoryUsage {
    let available =
        stats.memory_limit.zip(stats.memory_working_set).map(|(limit, set)| limit.saturating_sub(set));
    v1::MemoryUsage {
        timestamp,
        working_set_bytes: stats.memory_working_set.and_then(some),
        available_bytes: available.and_then(some),
        usage_bytes: stats.memory_usage.and_then(some),
        rss_bytes: stats.memory_rss.and_then(some),
        page_faults: stats.page_faults.and_then(some),
        major_page_faults: stats.major_page_faults.and_then(some),
        psi: None,
    }
}

/// Read through the pause process: it lives in the pod's network.
fn network(timestamp: i64, pid: i32) -> v1::NetworkUsage {
    // A sandbox that ends meanwhile has no interfaces.
    let table = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut interfaces = parse_interfaces(&table);
    let default = interfaces.iter().position(|i| i.name == "eth0").map(|at| interfaces.remove(at));
    v1::NetworkUsage { timestamp, default_interface: default, interfaces }
}

fn parse_interfaces(table: &str) -> Vec<v1::NetworkInterfaceUsage> {
    let parse = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let at = |index: usize| numbers.get(index).copied().and_then(some);
        let name = name.trim().to_owned();
        (name != "lo").then(|| v1::NetworkInterfaceUsage {
            name,
            rx_bytes: at(0),
            rx_errors: at(2),
            tx_bytes: at(8),
            tx_errors: at(10),
        })
    };
    table.lines().skip(2).filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_counted_without_loopback() {
        let table = "h\nh\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";
        let found = parse_interfaces(table);
        assert_eq!(found.len(), 1);
        let number = |n: &Option<v1::UInt64Value>| n.as_ref().map(|n| n.value);
        let eth0 = &found[0];
        assert_eq!(
            [&eth0.rx_bytes, &eth0.rx_errors, &eth0.tx_bytes, &eth0.tx_errors].map(number),
            [Some(1), Some(3), Some(9), Some(11)]
        );
    }
}
