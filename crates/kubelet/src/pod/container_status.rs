//! The status of one container, in upstream's shape.
//!
//! Upstream: pkg/kubelet/kubelet_pods.go, convertToAPIContainerStatuses.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, Pod, ResourceRequirements, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::{has_started, restarts_after};
use super::resize::{Difference, difference};
use crate::pods;
use crate::probes::results::{Kind, Outcome, Results};
use crate::runtime::state::time;
use crate::runtime::{ContainerRecord, PodRuntime, Run};

/// Why a container waits: the last failed step of starting it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    pub reason: String,
    pub message: String,
}

/// By container name.
pub(crate) type WaitingReasons = HashMap<String, Waiting>;

/// What statuses are made from.
pub(crate) struct Facts<'a> {
    pub pod: &'a Pod,
    pub runtime: &'a PodRuntime,
    pub probes: &'a Results,
    pub waiting: &'a WaitingReasons,
    /// The runtime's name, the scheme of container IDs (`dromon`).
    pub runtime_name: &'a str,
    /// Last words, by container ID.
    pub messages: &'a HashMap<String, String>,
}

/// Which list of the pod a container stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Init,
    Main,
    Ephemeral,
}

pub(crate) fn status(facts: &Facts<'_>, container: &Container, role: Role) -> ContainerStatus {
    let record = facts.runtime.latest(&container.name);
    let mut status = match record {
        Some(record) => from_record(facts, container, record),
        None => never_ran(facts, container, role),
    };
    if let Some(record) = record
        && let Some(waiting) = will_wait(facts, container, record, role)
    {
        status.last_state = status.state.take().filter(|state| state.terminated.is_some());
        status.state = Some(waiting_state(waiting));
        status.ready = false;
        status.started = Some(false);
    }
    status
}

fn never_ran(facts: &Facts<'_>, container: &Container, role: Role) -> ContainerStatus {
    let waiting =
        facts.waiting.get(&container.name).cloned().unwrap_or_else(|| default_waiting(facts.pod, role));
    let old = old_status(facts.pod, &container.name);
    if let Some(old) = old.filter(|_| pods::is_finished(facts.pod)) {
        // The containers of a finished pod may be gone; what they came to stays said.
        return old.clone();
    }
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting_state(waiting)),
        // Containers may have been cleaned away; what was counted stays counted.
        restart_count: old.map_or(0, |s| s.restart_count),
        last_state: Some(old.and_then(|s| s.last_state.clone()).unwrap_or_default()),
        ready: false,
        started: Some(false),
        ..ContainerStatus::default()
    }
}

/// The status that the API has of a container.
fn old_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|s| s.name == name)
}

fn default_waiting(pod: &Pod, role: Role) -> Waiting {
    let has_init = !pods::init_containers(pod).is_empty();
    let reason = if has_init && role != Role::Ephemeral { "PodInitializing" } else { "ContainerCreating" };
    Waiting { reason: reason.into(), message: String::new() }
}

/// An exited container that will be started again and cannot yet, waits.
fn will_wait(
    facts: &Facts<'_>,
    container: &Container,
    record: &ContainerRecord,
    role: Role,
) -> Option<Waiting> {
    if matches!(record.run, Run::Running) || role == Role::Ephemeral {
        return None;
    }
    if record.run == Run::Created {
        return Some(
            facts.waiting.get(&container.name).cloned().unwrap_or_else(|| default_waiting(facts.pod, role)),
        );
    }
    let over = pods::is_finished(facts.pod) || pods::deletion_requested(facts.pod).is_some();
    // An init container that has succeeded is done, whatever its policy.
    let done = role == Role::Init && !pods::is_sidecar(container) && record.exit_code == 0;
    let restarts = !over && !done && restarts_after(facts.pod, container, record.exit_code);
    restarts.then(|| facts.waiting.get(&container.name).cloned()).flatten()
}

fn from_record(facts: &Facts<'_>, container: &Container, record: &ContainerRecord) -> ContainerStatus {
    let id = format!("{}://{}", facts.runtime_name, record.id);
    let nameless = record.image.is_empty() || record.image.starts_with("sha256:");
    let image = if nameless { container.image.clone().unwrap_or_default() } else { record.image.clone() };
    ContainerStatus {
        name: container.name.clone(),
        container_id: Some(id),
        image,
        image_id: record.image_ref.clone(),
        state: Some(state(facts, record)),
        last_state: Some(last_state(facts, record)),
        restart_count: record.restart_count,
        ready: is_ready(facts, container, record),
        started: Some(has_started(container, record, facts.probes)),
        resources: resources(facts, container, record),
        allocated_resources: container.resources.as_ref().and_then(|r| r.requests.clone()),
        user: record.user.as_ref().filter(|_| record.run == Run::Running).map(|user| ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: user.uid,
                gid: user.gid,
                supplemental_groups: Some(user.groups.clone()).filter(|g| !g.is_empty()),
            }),
        }),
        volume_mounts: mounts(container),
        ..ContainerStatus::default()
    }
}

/// What the container runs with: while a resize is not done yet, what was told before.
fn resources(
    facts: &Facts<'_>,
    container: &Container,
    record: &ContainerRecord,
) -> Option<ResourceRequirements> {
    if difference(facts.pod, container, record) != Difference::None
        && let Some(before) = old_status(facts.pod, &container.name).and_then(|s| s.resources.clone())
    {
        return Some(before);
    }
    // Present even when empty, as upstream since in-place resize.
    Some(container.resources.clone().unwrap_or_default())
}

fn mounts(container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts: Vec<_> = container.volume_mounts.iter().flatten().map(mount_status).collect();
    Some(mounts).filter(|m| !m.is_empty())
}

fn mount_status(mount: &k8s_openapi::api::core::v1::VolumeMount) -> VolumeMountStatus {
    let read_only = mount.read_only.unwrap_or(false);
    VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: read_only.then_some(true),
        recursive_read_only: read_only.then(|| {
            if super::container_config::wants_recursive(mount) { "Enabled" } else { "Disabled" }.to_owned()
        }),
        ..VolumeMountStatus::default()
    }
}

fn is_ready(facts: &Facts<'_>, container: &Container, record: &ContainerRecord) -> bool {
    let init = pods::init_containers(facts.pod).iter().any(|c| c.name == container.name);
    if init && !pods::is_sidecar(container) {
        return record.run == Run::Exited && record.exit_code == 0;
    }
    has_started(container, record, facts.probes)
        && (container.readiness_probe.is_none()
            || facts.probes.get(&record.id, Kind::Readiness) == Some(Outcome::Success))
}

fn last_state(facts: &Facts<'_>, record: &ContainerRecord) -> ContainerState {
    let previous = facts.runtime.all(&record.name).find(|c| c.id != record.id && c.run == Run::Exited);
    if let Some(previous) = previous {
        return state(facts, previous);
    }
    // The previous container may have been cleaned away; the API still knows it.
    let old = old_status(facts.pod, &record.name).filter(|s| s.restart_count == record.restart_count);
    old.and_then(|s| s.last_state.clone()).unwrap_or_default()
}

pub(crate) fn state(facts: &Facts<'_>, record: &ContainerRecord) -> ContainerState {
    match record.run {
        Run::Running => ContainerState {
            running: Some(ContainerStateRunning { started_at: time(record.started).map(whole_seconds) }),
            ..ContainerState::default()
        },
        Run::Exited => {
            ContainerState { terminated: Some(terminated(facts, record)), ..ContainerState::default() }
        }
        Run::Created => waiting_state(Waiting { reason: "ContainerCreating".into(), message: String::new() }),
        Run::Unknown => ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: Some("ContainerStatusUnknown".into()),
                message: Some("The container could not be located when the pod was terminated".into()),
                exit_code: 137,
                container_id: Some(format!("{}://{}", facts.runtime_name, record.id)),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        },
    }
}

fn terminated(facts: &Facts<'_>, record: &ContainerRecord) -> ContainerStateTerminated {
    let fallback = if record.exit_code == 0 { "Completed" } else { "Error" };
    let reason = if record.reason.is_empty() { fallback.to_owned() } else { record.reason.clone() };
    let message = facts.messages.get(&record.id).cloned().unwrap_or_else(|| record.message.clone());
    ContainerStateTerminated {
        container_id: Some(format!("{}://{}", facts.runtime_name, record.id)),
        exit_code: record.exit_code,
        reason: Some(reason),
        message: Some(message).filter(|m| !m.is_empty()),
        started_at: time(record.started).map(whole_seconds),
        finished_at: time(record.finished).map(whole_seconds),
        ..ContainerStateTerminated::default()
    }
}

/// The API's times have no fractions; one that keeps them would never equal what was read back.
pub(crate) fn whole_seconds(at: jiff::Timestamp) -> Time {
    // Cannot fail: the whole second lies in the same range as the time itself.
    Time(jiff::Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn waiting_state(waiting: Waiting) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(waiting.reason),
            message: Some(waiting.message).filter(|m| !m.is_empty()),
        }),
        ..ContainerState::default()
    }
}
