//! What has to happen to a pod now. Pure: the same inputs give the same plan.
//!
//! Upstream: pkg/kubelet/kuberuntime, computePodActions and computeInitContainerActions.

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod};

use super::resize::{Difference, difference};
use crate::pods;
use crate::probes::results::{Kind, Outcome, Results};
use crate::runtime::{ContainerRecord, PodRuntime, Run, Sandbox, labels};

/// The next steps, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// Every container, then the sandbox, must go first.
    pub kill_pod: bool,
    pub kill: Vec<Kill>,
    /// Running containers whose resources are not what was granted.
    pub resize: Vec<String>,
    /// A new sandbox is needed; its attempt number.
    pub create_sandbox: Option<u32>,
    /// Init containers to start (the first unfinished one and sidecars that ended).
    pub start_init: Vec<usize>,
    pub start: Vec<usize>,
    pub start_ephemeral: Vec<usize>,
}

/// A container that must stop, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kill {
    pub id: String,
    pub name: String,
    pub message: String,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Changed,
    Liveness,
    Startup,
    Unknown,
    Resize,
}

/// Plans for a pod that shall run.
pub(crate) fn plan(pod: &Pod, runtime: &PodRuntime, probes: &Results) -> Plan {
    match usable_sandbox(pod, runtime) {
        Some(_) => plan_in_sandbox(pod, runtime, probes),
        None => plan_without_sandbox(pod, runtime),
    }
}

/// The sandbox that containers can be started in.
fn usable_sandbox<'a>(pod: &Pod, runtime: &'a PodRuntime) -> Option<&'a Sandbox> {
    let several = runtime.sandboxes.iter().filter(|s| s.ready).count() > 1;
    let newest = runtime.sandbox().filter(|s| s.ready && !several)?;
    (pods::host_network(pod) || !newest.addresses.is_empty()).then_some(newest)
}

fn plan_without_sandbox(pod: &Pod, runtime: &PodRuntime) -> Plan {
    let attempt = runtime.sandbox().map_or(0, |s| s.attempt + 1);
    let kill_pod = !runtime.sandboxes.is_empty();
    if attempt > 0 && pods::containers(pod).iter().all(|c| !restarts(pod, c, runtime.latest(&c.name))) {
        // Nothing would run in a new sandbox: the pod is over.
        return Plan { kill_pod, ..Plan::default() };
    }
    let mut plan = Plan { kill_pod, create_sandbox: Some(attempt), ..Plan::default() };
    if pods::init_containers(pod).is_empty() {
        plan.start = indexes(pods::containers(pod), |c| restarts(pod, c, runtime.latest(&c.name)));
    } else {
        // Whatever ran before: in a new sandbox the init containers run again.
        plan.start_init = vec![0];
    }
    plan
}

fn plan_in_sandbox(pod: &Pod, runtime: &PodRuntime, probes: &Results) -> Plan {
    let mut plan = Plan::default();
    plan_ephemeral(pod, runtime, &mut plan);
    let main_began = pods::containers(pod).iter().any(|c| runtime.current(&c.name).is_some());
    match plan_init(pod, runtime, probes, main_began, &mut plan) {
        Init::Failed => {
            plan.kill_pod = true;
            return plan;
        }
        Init::Going => return plan,
        Init::Done => {}
    }
    let kept = plan_main(pod, runtime, probes, &mut plan);
    if kept == 0 && plan.start.is_empty() {
        plan.kill_pod = true;
        plan.kill.clear();
        plan.start_init.clear();
    }
    plan
}

fn plan_ephemeral(pod: &Pod, runtime: &PodRuntime, plan: &mut Plan) {
    for (index, container) in pods::ephemeral_containers(pod).iter().enumerate() {
        if runtime.latest(&container.name).is_none() {
            plan.start_ephemeral.push(index);
        }
    }
}

enum Init {
    Done,
    Going,
    Failed,
}

fn plan_init(pod: &Pod, runtime: &PodRuntime, probes: &Results, main_began: bool, plan: &mut Plan) -> Init {
    for (index, container) in pods::init_containers(pod).iter().enumerate() {
        let record = runtime.current(&container.name);
        if pods::is_sidecar(container) {
            if !plan_sidecar(index, container, record, probes, plan) && !main_began {
                return Init::Going;
            }
        } else if !main_began {
            match record {
                None => plan.start_init.push(index),
                Some(c) if c.run == Run::Exited && c.exit_code == 0 => continue,
                Some(c) if c.run == Run::Running => {}
                Some(_) if !restarts(pod, container, record) => return Init::Failed,
                Some(c) => {
                    kill_if_unknown(c, plan);
                    plan.start_init.push(index);
                }
            }
            return Init::Going;
        }
    }
    Init::Done
}

/// Whether the sidecar has started, so that what follows it may.
fn plan_sidecar(
    index: usize,
    container: &Container,
    record: Option<&ContainerRecord>,
    probes: &Results,
    plan: &mut Plan,
) -> bool {
    match record {
        Some(c) if c.run == Run::Running => match must_stop(container, c, probes) {
            Some(kill) => {
                plan.kill.push(kill);
                plan.start_init.push(index);
                false
            }
            None => has_started(container, c, probes),
        },
        record => {
            if let Some(c) = record {
                kill_if_unknown(c, plan);
            }
            plan.start_init.push(index);
            false
        }
    }
}

/// Running, and its startup probe, if it has one, succeeded.
pub(crate) fn has_started(container: &Container, record: &ContainerRecord, probes: &Results) -> bool {
    record.run == Run::Running
        && (container.startup_probe.is_none()
            || probes.get(&record.id, Kind::Startup) == Some(Outcome::Success))
}

/// Plans the main containers; how many go on running.
fn plan_main(pod: &Pod, runtime: &PodRuntime, probes: &Results, plan: &mut Plan) -> usize {
    let mut kept = 0;
    for (index, container) in pods::containers(pod).iter().enumerate() {
        let Some(record) = runtime.current(&container.name) else {
            if restarts(pod, container, runtime.latest(&container.name)) {
                plan.start.push(index);
            }
            continue;
        };
        if record.run != Run::Running {
            if restarts(pod, container, Some(record)) {
                kill_if_unknown(record, plan);
                plan.start.push(index);
            }
            continue;
        }
        let Some(kill) =
            must_stop(container, record, probes).or_else(|| resize(pod, container, record, plan))
        else {
            kept += 1;
            continue;
        };
        // A container that is killed ends with this code, unless it ends by itself before.
        const KILLED: i32 = 137;
        let again = matches!(kill.why, Why::Changed | Why::Resize) || restarts_after(pod, container, KILLED);
        plan.kill.push(kill);
        if again {
            plan.start.push(index);
        }
    }
    kept
}

fn kill_if_unknown(record: &ContainerRecord, plan: &mut Plan) {
    if record.run == Run::Unknown {
        let message = format!("Container is in {:?} state, try killing it before restart", "unknown");
        plan.kill.push(Kill { id: record.id.clone(), name: record.name.clone(), message, why: Why::Unknown });
    }
}

/// Why a running container may not go on.
fn must_stop(container: &Container, record: &ContainerRecord, probes: &Results) -> Option<Kill> {
    let name = &container.name;
    let failed = |kind| probes.get(&record.id, kind) == Some(Outcome::Failure);
    let (why, message) = if record.hash != labels::hash(container) {
        (Why::Changed, format!("Container {name} definition changed, will be restarted"))
    } else if failed(Kind::Liveness) {
        (Why::Liveness, format!("Container {name} failed liveness probe, will be restarted"))
    } else if failed(Kind::Startup) {
        (Why::Startup, format!("Container {name} failed startup probe, will be restarted"))
    } else {
        return None;
    };
    Some(Kill { id: record.id.clone(), name: name.clone(), message, why })
}

/// Notes a resize that the container can live through; otherwise why it has to stop.
fn resize(pod: &Pod, container: &Container, record: &ContainerRecord, plan: &mut Plan) -> Option<Kill> {
    match difference(pod, container, record) {
        Difference::None => None,
        Difference::InPlace => {
            plan.resize.push(record.id.clone());
            None
        }
        Difference::Restart => Some(Kill {
            id: record.id.clone(),
            name: container.name.clone(),
            message: format!("Container {} resize requires restart", container.name),
            why: Why::Resize,
        }),
    }
}

/// A container's restart policy: its own, else the pod's; for init containers Always means until success.
pub(crate) fn policy<'a>(pod: &'a Pod, container: &'a Container) -> &'a str {
    container.restart_policy.as_deref().unwrap_or_else(|| pods::restart_policy(pod))
}

/// Whether a container that does not run shall be started.
fn restarts(pod: &Pod, container: &Container, record: Option<&ContainerRecord>) -> bool {
    let Some(record) = record else { return true };
    match record.run {
        Run::Running => false,
        Run::Created | Run::Unknown => true,
        Run::Exited => restarts_after(pod, container, record.exit_code),
    }
}

/// Whether a container that ended with `code` is started again: by its rules, its own policy, the pod's, in this order.
///
/// Upstream: pkg/kubelet/container/helpers.go, ShouldContainerBeRestarted.
pub(crate) fn restarts_after(pod: &Pod, container: &Container, code: i32) -> bool {
    let matches = |rule: &ContainerRestartRule| {
        let Some(codes) = &rule.exit_codes else { return false };
        let listed = codes.values.iter().flatten().any(|value| *value == code);
        match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
    };
    let rule = container.restart_policy_rules.iter().flatten().find(|rule| matches(rule));
    if rule.is_some_and(|rule| rule.action == "Restart") {
        return true;
    }
    match policy(pod, container) {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

fn indexes(containers: &[Container], wanted: impl Fn(&Container) -> bool) -> Vec<usize> {
    containers.iter().enumerate().filter(|(_, c)| wanted(c)).map(|(index, _)| index).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn rules_come_before_policies() {
        let after = |pod_policy: &str, container: Value, code: i32| {
            let spec = json!({"restartPolicy": pod_policy, "containers": [container]});
            let pod = crate::testing::pod(json!({"spec": spec}));
            restarts_after(&pod, &pods::containers(&pod)[0], code)
        };
        let rules = |operator: &str| {
            json!({"name": "c", "restartPolicy": "Never", "restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": operator, "values": [42]}}
            ]})
        };
        assert!(after("Never", rules("In"), 42));
        assert!(!after("Always", rules("In"), 41));
        assert!(after("Never", rules("NotIn"), 41));
        assert!(after("Never", json!({"name": "c", "restartPolicy": "OnFailure"}), 1));
        assert!(!after("Always", json!({"name": "c", "restartPolicy": "OnFailure"}), 0));
        assert!(after("Always", json!({"name": "c"}), 0));
    }
}
