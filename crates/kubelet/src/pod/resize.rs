//! Resizing in place: what is asked for is granted if it fits, then brought to the kernel.
//!
//! Upstream: pkg/kubelet/allocation and kuberuntime_manager.go, doPodResizeAction.

use std::sync::Arc;

use client::EventType;
use cri::v1 as pb;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};
use stdx::error_chain;

use super::allocation::{Allocation, Pending, Room};
use super::cgroups;
use super::worker::Worker;
use crate::pods;
use crate::runtime::{ContainerRecord, PodRuntime, Run};
use crate::volumes::pod_dir;

/// Where a resize stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Resizing {
    pub pending: Option<Pending>,
    pub progress: Option<Progress>,
}

/// A granted resize that the kernel does not show yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    pub generation: Option<i64>,
    pub error: Option<String>,
}

/// How a running container differs from what is granted to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    None,
    /// The kernel can be told while it runs.
    InPlace,
    /// Its resize policy wants a restart.
    Restart,
}

pub(crate) fn difference(pod: &Pod, container: &Container, record: &ContainerRecord) -> Difference {
    let Some(actual) = record.resources.as_ref().filter(|_| record.run == Run::Running) else {
        return Difference::None;
    };
    // The score of the OOM killer stays as it was: upstream does not change it either.
    let wanted = cgroups::resources(pod, container, 1);
    let limit = |value: i64| value.max(0);
    let cpu = (actual.cpu_shares, limit(actual.cpu_quota)) != (wanted.cpu_shares, limit(wanted.cpu_quota));
    let memory = limit(actual.memory_limit_in_bytes) != limit(wanted.memory_limit_in_bytes);
    let restarts = |resource: &str| {
        container
            .resize_policy
            .iter()
            .flatten()
            .any(|policy| policy.resource_name == resource && policy.restart_policy == "RestartContainer")
    };
    match (cpu, memory) {
        (false, false) => Difference::None,
        _ if (cpu && restarts("cpu")) || (memory && restarts("memory")) => Difference::Restart,
        _ => Difference::InPlace,
    }
}

/// Only what may change, with "no limit" said outright.
fn update(pod: &Pod, container: &Container) -> pb::LinuxContainerResources {
    let all = cgroups::resources(pod, container, 1);
    let limit = |value: i64| if value == 0 { -1 } else { value };
    pb::LinuxContainerResources {
        cpu_shares: all.cpu_shares,
        cpu_period: all.cpu_period,
        cpu_quota: limit(all.cpu_quota),
        memory_limit_in_bytes: limit(all.memory_limit_in_bytes),
        ..Default::default()
    }
}

impl Worker {
    /// Puts what is granted in the place of what `pod` asks for; asks for more if that changed.
    pub(super) fn allocate(&mut self, pod: Arc<Pod>) -> Arc<Pod> {
        let folder = pod_dir(&self.context.config.root, pods::uid(&pod));
        let Some(granted) = self.granted(&pod, &folder) else { return pod };
        let wanted = Allocation::wanted(&pod);
        if granted == wanted {
            self.resizing.pending = None;
            self.allocation = Some(granted);
            return pod;
        }
        let context = self.context.clone();
        let room = Room {
            cpu_milli: context.capacity.allocatable_cpu_milli(&context.config).into(),
            memory_bytes: context.capacity.allocatable_memory(&context.config).into(),
        };
        match context.budget.resize(&pod, room) {
            Ok(()) => {
                self.keep(&wanted, &folder);
                self.resizing = Resizing {
                    pending: None,
                    progress: Some(Progress { generation: pod.metadata.generation, error: None }),
                };
                self.tell(&pod, EventType::Normal, "ResizeStarted", "Pod resize started", None);
                self.allocation = Some(wanted);
                pod
            }
            Err(pending) => {
                if self.resizing.pending.as_ref() != Some(&pending) {
                    let (reason, prefix) =
                        (format!("Resize{}", pending.reason), format!("Pod resize {}", pending.reason));
                    self.tell(&pod, EventType::Warning, &reason, &prefix, Some(&pending.message));
                }
                self.resizing.pending = Some(pending);
                let applied = granted.applied(&pod);
                self.allocation = Some(granted);
                applied
            }
        }
    }

    /// What was granted so far; `None` for a pod that ends.
    fn granted(&mut self, pod: &Pod, folder: &std::path::Path) -> Option<Allocation> {
        if pods::deletion_requested(pod).is_some() || pods::is_finished(pod) {
            return self.allocation.clone();
        }
        if let Some(known) = self.allocation.take() {
            return Some(known);
        }
        let loaded = Allocation::load(folder).unwrap_or_else(|error| {
            tracing::warn!(pod = %pods::described(pod), error = error_chain(&error), "granted resources not readable");
            None
        });
        let granted = loaded.unwrap_or_else(|| {
            let wanted = Allocation::wanted(pod);
            self.keep(&wanted, folder);
            wanted
        });
        self.context.budget.count(&granted.applied(&Arc::new(pod.clone())));
        Some(granted)
    }

    fn keep(&self, granted: &Allocation, folder: &std::path::Path) {
        if let Err(error) = granted.save(folder) {
            tracing::warn!(pod = %pods::described(&self.pod), error = error_chain(&error), "granted resources not kept");
        }
    }

    /// The object as it came last, looked at again: room may have been made.
    pub(super) fn reconsider(&mut self) {
        if self.resizing.pending.is_some() {
            let status = self.pod.status.clone();
            let mut pod = (*self.allocate(self.desired.clone())).clone();
            pod.status = status;
            self.pod = Arc::new(pod);
        }
    }

    /// Brings what is granted to every running container that differs; whether something was changed.
    pub(super) async fn actuate(&mut self, runtime: &PodRuntime, resize: &[String]) -> bool {
        let mut changed = false;
        for record in runtime.containers.iter().filter(|record| resize.contains(&record.id)) {
            let Some(container) = pods::find_container(&self.pod, &record.name) else { continue };
            match self.context.cri.update(&record.id, update(&self.pod, &container)).await {
                Ok(()) => changed = true,
                Err(error) => self.not_actuated(error.said()),
            }
        }
        changed
    }

    fn not_actuated(&mut self, error: String) {
        let generation = self.pod.metadata.generation;
        let progress = self.resizing.progress.get_or_insert(Progress { generation, error: None });
        if progress.error.as_ref() != Some(&error) {
            progress.error = Some(error.clone());
            let pod = self.pod.clone();
            self.tell(&pod, EventType::Warning, "ResizeError", "Pod resize error", Some(&error));
        }
        let delay = self.volumes_backoff.step();
        self.look_in(delay);
    }

    /// Once every running container shows what was granted, the resize is over.
    pub(super) fn finish_resize(&mut self, runtime: &PodRuntime) {
        if self.resizing.progress.is_none() {
            return;
        }
        let pod = self.pod.clone();
        let all = pods::containers(&pod).iter().chain(pods::init_containers(&pod));
        let differs = all.filter_map(|c| Some((c, runtime.current(&c.name)?)));
        if differs.into_iter().all(|(c, record)| difference(&pod, c, record) == Difference::None) {
            self.resizing.progress = None;
            self.tell(&pod, EventType::Normal, "ResizeCompleted", "Pod resize completed", None);
        }
    }

    fn tell(&self, pod: &Pod, kind: EventType, reason: &str, prefix: &str, error: Option<&str>) {
        let summary = summary(pod, error);
        self.context.pod_event(pod, kind, reason, format!("{prefix}: {summary}"));
    }
}

/// The resources of every container, as upstream's events tell them.
fn summary(pod: &Pod, error: Option<&str>) -> String {
    let list = |containers: &[Container]| -> Vec<Value> {
        let one =
            |c: &Container| json!({"name": c.name, "resources": c.resources.clone().unwrap_or_default()});
        containers.iter().map(one).collect()
    };
    let mut parts = Vec::new();
    for (key, containers) in
        [("initContainers", pods::init_containers(pod)), ("containers", pods::containers(pod))]
    {
        if !containers.is_empty() {
            parts.push(format!("{:?}:{}", key, json!(list(containers))));
        }
    }
    parts.push(format!("\"generation\":{}", pod.metadata.generation.unwrap_or(0)));
    if let Some(error) = error {
        parts.push(format!("\"error\":{}", json!(error)));
    }
    format!("{{{}}}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn pod(policy: Value) -> Pod {
        crate::testing::pod(json!({"metadata": {"generation": 2}, "spec": {"containers": [{
            "name": "c",
            "resizePolicy": policy,
            "resources": {"limits": {"cpu": "250m", "memory": "1Mi"}, "requests": {"cpu": "250m"}},
        }]}}))
    }

    #[test]
    fn knows_what_differs() {
        let record = |quota: i64, memory: i64| ContainerRecord {
            run: Run::Running,
            resources: Some(pb::LinuxContainerResources {
                cpu_shares: 256,
                cpu_quota: quota,
                memory_limit_in_bytes: memory,
                ..Default::default()
            }),
            ..ContainerRecord::default()
        };
        let of = |pod: &Pod, record: ContainerRecord| difference(pod, &pods::containers(pod)[0], &record);
        let plain = pod(json!([]));
        assert_eq!(of(&plain, record(25_000, 1 << 20)), Difference::None);
        assert_eq!(of(&plain, record(50_000, 1 << 20)), Difference::InPlace);
        assert_eq!(of(&plain, record(-1, 1 << 20)), Difference::InPlace);
        assert_eq!(of(&plain, ContainerRecord { run: Run::Running, ..Default::default() }), Difference::None);
        let restart = pod(json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]));
        assert_eq!(of(&restart, record(50_000, 1 << 20)), Difference::InPlace);
        assert_eq!(of(&restart, record(25_000, 2 << 20)), Difference::Restart);
    }

    #[test]
    fn events_tell_all_resources() {
        expect![[r#"{"containers":[{"name":"c","resources":{"limits":{"cpu":"250m","memory":"1Mi"},"requests":{"cpu":"250m"}}}],"generation":2,"error":"why"}"#]]
            .assert_eq(&summary(&pod(json!([])), Some("why")));
    }
}
