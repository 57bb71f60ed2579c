//! Records as CRI messages. Pure.

use std::collections::HashMap;

use cri::v1;

use crate::record::{Container, Sandbox, State};
use crate::shim::protocol::Exit;

pub fn sandbox_state(sandbox: &Sandbox) -> v1::PodSandboxState {
    if sandbox.is_ready() { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready }
}

pub fn sandbox(sandbox: &Sandbox) -> v1::PodSandbox {
    v1::PodSandbox {
        id: sandbox.id.clone(),
        metadata: sandbox.config.metadata.clone(),
        state: sandbox_state(sandbox) as i32,
        created_at: sandbox.created_at,
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.runtime_handler.clone(),
    }
}

pub fn sandbox_status(sandbox: &Sandbox) -> v1::PodSandboxStatus {
    v1::PodSandboxStatus {
        id: sandbox.id.clone(),
        metadata: sandbox.config.metadata.clone(),
        state: sandbox_state(sandbox) as i32,
        created_at: sandbox.created_at,
        network: Some(network_status(sandbox)),
        linux: Some(v1::LinuxPodSandboxStatus {
            namespaces: Some(v1::Namespace { options: Some(sandbox.namespaces()) }),
        }),
        labels: sandbox.config.labels.clone(),
        annotations: sandbox.config.annotations.clone(),
        runtime_handler: sandbox.runtime_handler.clone(),
    }
}

/// A pod on the host's network has no address of its own.
fn network_status(sandbox: &Sandbox) -> v1::PodSandboxNetworkStatus {
    let mut addresses = sandbox.addresses.iter().map(ToString::to_string);
    v1::PodSandboxNetworkStatus {
        ip: addresses.next().unwrap_or_default(),
        additional_ips: addresses.map(|ip| v1::PodIp { ip }).collect(),
    }
}

pub fn container_state(container: &Container) -> v1::ContainerState {
    match container.state {
        State::Created => v1::ContainerState::ContainerCreated,
        State::Running { .. } => v1::ContainerState::ContainerRunning,
        State::Exited(_) => v1::ContainerState::ContainerExited,
    }
}

pub fn container(container: &Container) -> v1::Container {
    v1::Container {
        id: container.id.clone(),
        pod_sandbox_id: container.sandbox_id.clone(),
        metadata: container.config.metadata.clone(),
        image: container.config.image.clone(),
        image_ref: container.image_ref.clone(),
        state: container_state(container) as i32,
        created_at: container.created_at,
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
        image_id: container.image_id.clone(),
    }
}

pub fn container_status(container: &Container) -> v1::ContainerStatus {
    let mut status = v1::ContainerStatus {
        id: container.id.clone(),
        metadata: container.config.metadata.clone(),
        state: container_state(container) as i32,
        created_at: container.created_at,
        image: container.config.image.clone(),
        image_ref: container.image_ref.clone(),
        image_id: container.image_id.clone(),
        labels: container.config.labels.clone(),
        annotations: container.config.annotations.clone(),
        mounts: container.config.mounts.clone(),
        log_path: container.log_path.clone(),
        resources: resources(container),
        stop_signal: cri_signal(container.stop_signal) as i32,
        ..v1::ContainerStatus::default()
    };
    match &container.state {
        State::Created => {}
        State::Running { started_at, user, .. } => {
            status.started_at = *started_at;
            status.user = Some(v1::ContainerUser {
                linux: Some(v1::LinuxContainerUser {
                    uid: user.uid.into(),
                    gid: user.gid.into(),
                    supplemental_groups: user.groups.iter().map(|group| i64::from(*group)).collect(),
                }),
            });
        }
        State::Exited(exit) => ended(&mut status, exit, container.start_error.as_deref()),
    }
    status
}

fn ended(status: &mut v1::ContainerStatus, exit: &Exit, start_error: Option<&str>) {
    status.started_at = exit.started_at;
    status.finished_at = exit.finished_at;
    status.exit_code = exit.code;
    status.reason = match (start_error, exit.oom_killed, exit.code) {
        (Some(_), ..) => "StartError",
        (None, true, _) => "OOMKilled",
        (None, false, 0) => "Completed",
        (None, false, _) => "Error",
    }
    .to_owned();
    status.message = start_error.unwrap_or_default().to_owned();
}

fn resources(container: &Container) -> Option<v1::ContainerResources> {
    let linux = container.config.linux.as_ref()?.resources.clone();
    Some(v1::ContainerResources { linux })
}

fn cri_signal(number: i32) -> v1::Signal {
    let Ok(signal) = nix::sys::signal::Signal::try_from(number) else { return v1::Signal::RuntimeDefault };
    v1::Signal::from_str_name(signal.as_str()).unwrap_or(v1::Signal::RuntimeDefault)
}

/// Whether `labels` has everything that `selector` asks for.
pub fn selects(selector: &HashMap<String, String>, labels: &HashMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

pub fn sandbox_matches(sandbox: &Sandbox, filter: Option<&v1::PodSandboxFilter>) -> bool {
    let Some(filter) = filter else { return true };
    sandbox.id.starts_with(&filter.id)
        && filter.state.as_ref().is_none_or(|state| state.state() == sandbox_state(sandbox))
        && selects(&filter.label_selector, &sandbox.config.labels)
}

pub fn container_matches(container: &Container, filter: Option<&v1::ContainerFilter>) -> bool {
    let Some(filter) = filter else { return true };
    container.id.starts_with(&filter.id)
        && container.sandbox_id.starts_with(&filter.pod_sandbox_id)
        && filter.state.as_ref().is_none_or(|state| state.state() == container_state(container))
        && selects(&filter.label_selector, &container.config.labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: i32, oom_killed: bool, start_error: Option<&str>) -> String {
        let exit = Exit { code, oom_killed, ..Exit::default() };
        let start_error = start_error.map(str::to_owned);
        let container = Container { state: State::Exited(exit), start_error, ..Container::default() };
        container_status(&container).reason
    }

    #[test]
    fn reasons_say_how_a_container_ended() {
        assert_eq!(reason(0, false, None), "Completed");
        assert_eq!(reason(3, false, None), "Error");
        assert_eq!(reason(137, true, None), "OOMKilled");
        assert_eq!(reason(128, false, Some("no such file")), "StartError");
    }
}
