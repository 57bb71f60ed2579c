//! The whole status of a pod. Pure.
//!
//! Upstream: pkg/kubelet/kubelet_pods.go, generateAPIPodStatus.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodIP, PodStatus};

use super::container_status::{self, Role, whole_seconds};
use super::phase::{Phase, phase};
use super::resize::Resizing;
use super::{conditions, qos::qos};
use crate::pods;
use crate::runtime::Run;

/// What the node adds.
pub(crate) struct NodeFacts<'a> {
    pub host_ips: &'a [String],
    pub now: Timestamp,
    /// The pod was rejected or ran out of time: a final phase that no container decides.
    pub verdict: Option<&'a Verdict>,
    pub resizing: &'a Resizing,
    /// Its containers are stopped and will not start again.
    pub terminated: Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terminated {
    No,
    Yes,
}

/// Why a pod failed as a whole.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub reason: String,
    pub message: String,
}

pub(crate) fn pod_status(facts: &container_status::Facts<'_>, node: &NodeFacts<'_>) -> PodStatus {
    let pod = facts.pod;
    let init: Vec<ContainerStatus> =
        pods::init_containers(pod).iter().map(|c| container_status::status(facts, c, Role::Init)).collect();
    let main: Vec<ContainerStatus> =
        pods::containers(pod).iter().map(|c| container_status::status(facts, c, Role::Main)).collect();
    let ephemeral: Vec<ContainerStatus> = pods::ephemeral_containers(pod)
        .iter()
        .map(|c| container_status::status(facts, &pods::from_ephemeral(c), Role::Ephemeral))
        .collect();
    let phase = decide_phase(pod, &init, &main, node);
    let main_began = pods::containers(pod)
        .iter()
        .any(|c| facts.runtime.current(&c.name).is_some_and(|r| r.run != Run::Created));
    let sandbox_ready = facts.runtime.sandbox().is_some_and(|s| s.ready) && node.terminated == Terminated::No;
    let mut conditions = conditions::conditions(&conditions::Facts {
        pod,
        phase,
        init: &init,
        main: &main,
        sandbox_ready,
        main_began,
        resizing: node.resizing,
        now: node.now,
    });
    let verdict = node.verdict;
    if let Some(verdict) = verdict.filter(|verdict| verdict.reason == "Evicted") {
        conditions::disrupt(&mut conditions, verdict, node.now);
    }
    let old = pod.status.clone().unwrap_or_default();
    let ips = pod_ips(facts, node, &old);
    PodStatus {
        phase: Some(phase.name().into()),
        reason: verdict.map(|v| v.reason.clone()).or(old.reason),
        message: verdict.map(|v| v.message.clone()).or(old.message),
        conditions: Some(conditions),
        host_ip: node.host_ips.first().cloned(),
        host_ips: Some(node.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect()),
        pod_ip: ips.first().cloned(),
        pod_ips: Some(ips.into_iter().map(|ip| PodIP { ip }).collect::<Vec<_>>()).filter(|l| !l.is_empty()),
        start_time: old.start_time.or_else(|| Some(whole_seconds(node.now))),
        qos_class: Some(qos(pod).to_string()),
        init_container_statuses: Some(init).filter(|l| !l.is_empty()),
        container_statuses: Some(main),
        ephemeral_container_statuses: Some(ephemeral).filter(|l| !l.is_empty()),
        observed_generation: pod.metadata.generation,
        nominated_node_name: old.nominated_node_name,
        ..PodStatus::default()
    }
}

/// A final phase is never left again; a pod whose containers are gone for good has ended one way or the other.
fn decide_phase(
    pod: &Pod,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    node: &NodeFacts<'_>,
) -> Phase {
    let old = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    if node.verdict.is_some() || old == Some("Failed") {
        return Phase::Failed;
    }
    if old == Some("Succeeded") {
        return Phase::Succeeded;
    }
    let phase = phase(pod, init, main);
    if node.terminated == Terminated::No || phase.is_final() {
        return phase;
    }
    let succeeded = |s: &ContainerStatus| {
        s.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0)
    };
    if main.iter().all(succeeded) { Phase::Succeeded } else { Phase::Failed }
}

fn pod_ips(facts: &container_status::Facts<'_>, node: &NodeFacts<'_>, old: &PodStatus) -> Vec<String> {
    if pods::host_network(facts.pod) {
        return node.host_ips.to_vec();
    }
    let now = facts.runtime.sandbox().map(|s| s.addresses.clone()).unwrap_or_default();
    if now.is_empty() && node.terminated == Terminated::Yes {
        // A finished pod keeps the address that it had.
        return old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
    }
    now
}
