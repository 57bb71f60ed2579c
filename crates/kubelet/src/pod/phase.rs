//! The phase of a pod from its containers' statuses.
//!
//! Upstream: pkg/kubelet/kubelet_pods.go, getPhase.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::plan::restarts_after;
use crate::pods;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// How many containers stand where.
#[derive(Default)]
struct Count {
    pending_init: usize,
    failed_init: usize,
    /// Of those failed: they will not be tried again.
    lost_init: usize,
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    /// Of those stopped: they will be started again.
    restarting: usize,
    succeeded: usize,
}

pub(crate) fn phase(pod: &Pod, init: &[ContainerStatus], main: &[ContainerStatus]) -> Phase {
    let mut count = Count::default();
    for container in pods::init_containers(pod) {
        count_init(pod, container, find(init, &container.name), &mut count);
    }
    for container in pods::containers(pod) {
        count_main(pod, container, find(main, &container.name), &mut count);
    }
    decide(&count)
}

fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|s| s.name == name)
}

fn count_init(pod: &Pod, container: &Container, status: Option<&ContainerStatus>, count: &mut Count) {
    let Some(status) = status else {
        count.pending_init += 1;
        return;
    };
    let exited = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code)
    };
    if pods::is_sidecar(container) {
        let has_started = status.started == Some(true);
        count.pending_init += usize::from(!has_started && exited(&status.state).is_none());
        return;
    }
    match (exited(&status.state), exited(&status.last_state)) {
        (Some(0), _) => {}
        (Some(code), _) => {
            count.failed_init += 1;
            count.lost_init += usize::from(!restarts_after(pod, container, code));
        }
        (None, Some(code)) if is_waiting(status) && code != 0 => count.failed_init += 1,
        (None, _) => count.pending_init += 1,
    }
}

fn is_waiting(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_none_or(|s| s.waiting.is_some())
}

fn count_main(pod: &Pod, container: &Container, status: Option<&ContainerStatus>, count: &mut Count) {
    let Some(status) = status else {
        count.unknown += 1;
        return;
    };
    let state = status.state.clone().unwrap_or_default();
    if state.running.is_some() {
        count.running += 1;
    } else if let Some(terminated) = state.terminated {
        count.stopped += 1;
        count.succeeded += usize::from(terminated.exit_code == 0);
        count.restarting += usize::from(restarts_after(pod, container, terminated.exit_code));
    } else if status.last_state.as_ref().is_some_and(|s| s.terminated.is_some()) {
        // It waits for its next start.
        count.stopped += 1;
        count.restarting += 1;
    } else {
        count.waiting += 1;
    }
}

fn decide(count: &Count) -> Phase {
    if count.lost_init > 0 {
        return Phase::Failed;
    }
    if count.pending_init > 0 && count.running == 0 && count.stopped == 0 {
        return Phase::Pending;
    }
    if count.failed_init > 0 && count.running == 0 && count.stopped == 0 {
        return Phase::Pending;
    }
    if count.waiting > 0 {
        return if count.stopped > 0 || count.running > 0 { Phase::Running } else { Phase::Pending };
    }
    if count.running > 0 {
        return if count.unknown == 0 { Phase::Running } else { Phase::Pending };
    }
    if count.stopped == 0 || count.unknown > 0 {
        return Phase::Pending;
    }
    if count.restarting > 0 {
        Phase::Running
    } else if count.stopped == count.succeeded {
        Phase::Succeeded
    } else {
        Phase::Failed
    }
}
