//! The pod conditions that the kubelet owns.
//!
//! Upstream: pkg/kubelet/status/generate.go; texts to the letter.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::container_status::whole_seconds;
use super::phase::Phase;
use super::resize::Resizing;
use super::status::Verdict;
use crate::pods;

/// The kubelet's own conditions; all others (PodScheduled, gates, DisruptionTarget) are somebody else's.
pub(crate) const OWNED: [&str; 6] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodResizePending",
    "PodResizeInProgress",
];

/// What a condition says, before its times are known.
struct Said {
    kind: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
}

/// Facts that conditions are made from.
pub(crate) struct Facts<'a> {
    pub pod: &'a Pod,
    pub phase: Phase,
    pub init: &'a [ContainerStatus],
    pub main: &'a [ContainerStatus],
    pub sandbox_ready: bool,
    pub main_began: bool,
    pub resizing: &'a Resizing,
    pub now: Timestamp,
}

pub(crate) fn conditions(facts: &Facts<'_>) -> Vec<PodCondition> {
    let containers_ready = containers_ready(facts);
    let ready = ready(facts, &containers_ready);
    let sandbox = Said {
        kind: "PodReadyToStartContainers",
        status: facts.sandbox_ready,
        reason: "",
        message: String::new(),
    };
    let mut all: Vec<PodCondition> = [sandbox, initialized(facts), ready, containers_ready]
        .into_iter()
        .map(|said| condition(facts, said))
        .collect();
    all.extend(resizing(facts));
    all.extend(foreign(facts.pod));
    all
}

/// There only while a resize waits or is under way.
fn resizing(facts: &Facts<'_>) -> Vec<PodCondition> {
    let Resizing { pending, progress } = facts.resizing;
    let pending = pending.as_ref().map(|pending| {
        let (kind, reason, message) = ("PodResizePending", pending.reason, pending.message.clone());
        condition(facts, Said { kind, status: true, reason, message })
    });
    let progress = progress.as_ref().map(|progress| {
        let reason = if progress.error.is_some() { "Error" } else { "" };
        let message = progress.error.clone().unwrap_or_default();
        let told = condition(facts, Said { kind: "PodResizeInProgress", status: true, reason, message });
        PodCondition { observed_generation: progress.generation, ..told }
    });
    pending.into_iter().chain(progress).collect()
}

/// Says that the kubelet ended the pod, not the pod itself.
pub(crate) fn disrupt(conditions: &mut Vec<PodCondition>, verdict: &Verdict, now: Timestamp) {
    if conditions.iter().any(is_disrupted) {
        return;
    }
    conditions.retain(|condition| condition.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("TerminationByKubelet".into()),
        message: Some(verdict.message.clone()),
        last_transition_time: Some(whole_seconds(now)),
        ..PodCondition::default()
    });
}

fn is_disrupted(condition: &PodCondition) -> bool {
    condition.type_ == "DisruptionTarget" && condition.reason.as_deref() == Some("TerminationByKubelet")
}

fn foreign(pod: &Pod) -> impl Iterator<Item = PodCondition> {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    conditions.into_iter().filter(|c| !OWNED.contains(&c.type_.as_str()))
}

fn condition(facts: &Facts<'_>, said: Said) -> PodCondition {
    let status = if said.status { "True" } else { "False" };
    let old = old_condition(facts.pod, said.kind).filter(|c| c.status == status);
    let changed =
        old.and_then(|c| c.last_transition_time.clone()).unwrap_or_else(|| whole_seconds(facts.now));
    PodCondition {
        type_: said.kind.into(),
        status: status.into(),
        reason: Some(said.reason.to_owned()).filter(|r| !r.is_empty()),
        message: Some(said.message).filter(|m| !m.is_empty()),
        last_transition_time: Some(changed),
        observed_generation: facts.pod.metadata.generation,
        ..PodCondition::default()
    }
}

fn old_condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn initialized(facts: &Facts<'_>) -> Said {
    let said = |status, reason, message| Said { kind: "Initialized", status, reason, message };
    if facts.phase == Phase::Succeeded {
        return said(true, "PodCompleted", String::new());
    }
    if facts.main_began {
        return said(true, "", String::new());
    }
    let incomplete: Vec<&str> = pods::init_containers(facts.pod)
        .iter()
        .filter(|c| !is_initialized(c, facts.init))
        .map(|c| c.name.as_str())
        .collect();
    if incomplete.is_empty() {
        return said(true, "", String::new());
    }
    said(
        false,
        "ContainersNotInitialized",
        format!("containers with incomplete status: [{}]", incomplete.join(" ")),
    )
}

fn is_initialized(container: &k8s_openapi::api::core::v1::Container, statuses: &[ContainerStatus]) -> bool {
    let Some(status) = statuses.iter().find(|s| s.name == container.name) else { return false };
    if pods::is_sidecar(container) { status.started == Some(true) } else { status.ready }
}

fn containers_ready(facts: &Facts<'_>) -> Said {
    let said = |status, reason, message| Said { kind: "ContainersReady", status, reason, message };
    match facts.phase {
        Phase::Succeeded => return said(false, "PodCompleted", String::new()),
        Phase::Failed => return said(false, "PodFailed", String::new()),
        _ => {}
    }
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    let sidecars = pods::init_containers(facts.pod).iter().filter(|c| pods::is_sidecar(c));
    for container in sidecars.chain(pods::containers(facts.pod)) {
        match facts.init.iter().chain(facts.main).find(|s| s.name == container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) if !status.ready => unready.push(container.name.as_str()),
            Some(_) => {}
        }
    }
    let mut parts = Vec::new();
    if !unknown.is_empty() {
        parts.push(format!("containers with unknown status: [{}]", unknown.join(" ")));
    }
    if !unready.is_empty() {
        parts.push(format!("containers with unready status: [{}]", unready.join(" ")));
    }
    if parts.is_empty() {
        return said(true, "", String::new());
    }
    said(false, "ContainersNotReady", parts.join(", "))
}

fn ready(facts: &Facts<'_>, containers: &Said) -> Said {
    let said = |status, reason, message| Said { kind: "Ready", status, reason, message };
    if !containers.status {
        return said(false, containers.reason, containers.message.clone());
    }
    let mut missing = Vec::new();
    for gate in pods::spec(facts.pod).readiness_gates.iter().flatten() {
        match old_condition(facts.pod, &gate.condition_type) {
            None => missing.push(format!(
                "corresponding condition of pod readiness gate {:?} does not exist.",
                gate.condition_type
            )),
            Some(c) if c.status != "True" => missing.push(format!(
                "the status of pod readiness gate {:?} is not \"True\", but {}",
                gate.condition_type, c.status
            )),
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return said(true, "", String::new());
    }
    said(false, "ReadinessGatesNotReady", missing.join(", "))
}
