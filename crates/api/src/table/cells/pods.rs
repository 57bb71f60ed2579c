//! Pods: how many containers are ready, and the one word that says how it goes.

use super::{Context, text_or};
use crate::access::Access;
use crate::table::duration::since;
use serde_json::Value;

/// What the list of container statuses sums up to.
struct Summary<'a> {
    reason: String,
    ready: usize,
    restarts: i64,
    last_restart: &'a str,
}

pub(crate) fn pod_ready(pod: &Value, _: Context) -> Value {
    let total = pod.items("spec.containers").len()
        + pod.items("spec.initContainers").iter().filter(|c| is_sidecar(c)).count();
    format!("{}/{total}", summarize(pod).ready).into()
}

pub(crate) fn pod_status(pod: &Value, _: Context) -> Value {
    let phase_is_terminal = matches!(pod.text("status.phase"), "Failed" | "Succeeded");
    let deleted = pod.has("metadata.deletionTimestamp");
    match () {
        _ if deleted && pod.text("status.reason") == "NodeLost" => "Unknown".into(),
        _ if deleted && !phase_is_terminal => "Terminating".into(),
        _ => summarize(pod).reason.into(),
    }
}

pub(crate) fn pod_restarts(pod: &Value, cx: Context) -> Value {
    let summary = summarize(pod);
    if summary.restarts == 0 || summary.last_restart.is_empty() {
        return summary.restarts.to_string().into();
    }
    format!("{} ({} ago)", summary.restarts, since(summary.last_restart, cx.now)).into()
}

pub(crate) fn pod_ip(pod: &Value, _: Context) -> Value {
    match pod.items("status.podIPs").first() {
        Some(first) => text_or(first, "ip", "<none>"),
        None => text_or(pod, "status.podIP", "<none>"),
    }
}

pub(crate) fn pod_node(pod: &Value, _: Context) -> Value {
    text_or(pod, "spec.nodeName", "<none>")
}

pub(crate) fn pod_nominated(pod: &Value, _: Context) -> Value {
    text_or(pod, "status.nominatedNodeName", "<none>")
}

pub(crate) fn pod_gates(pod: &Value, _: Context) -> Value {
    let gates = pod.items("spec.readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let passed = gates.iter().filter(|gate| condition_is_true(pod, gate.text("conditionType"))).count();
    format!("{passed}/{}", gates.len()).into()
}

fn condition_is_true(pod: &Value, name: &str) -> bool {
    pod.item_where("status.conditions", "type", name)
        .is_some_and(|condition| condition.text("status") == "True")
}

fn is_sidecar(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

fn summarize(pod: &Value) -> Summary<'_> {
    let mut init = Summary { reason: pod_reason(pod).into(), ready: 0, restarts: 0, last_restart: "" };
    let mut sidecars = Restarts::default();
    let initializing = summarize_init(pod, &mut init, &mut sidecars);
    if initializing && !condition_is_true(pod, "Initialized") {
        return init;
    }
    let main = Summary { restarts: sidecars.count, last_restart: sidecars.last, ..init };
    summarize_containers(pod, main)
}

fn pod_reason(pod: &Value) -> &str {
    let gated = pod.items("status.conditions").iter().any(|condition| {
        condition.text("type") == "PodScheduled" && condition.text("reason") == "SchedulingGated"
    });
    match pod.text("status.reason") {
        _ if gated => "SchedulingGated",
        "" => pod.text("status.phase"),
        reason => reason,
    }
}

#[derive(Default)]
struct Restarts<'a> {
    count: i64,
    last: &'a str,
}

/// Takes the init containers in; whether one of them is still to finish.
fn summarize_init<'a>(pod: &'a Value, summary: &mut Summary<'a>, sidecars: &mut Restarts<'a>) -> bool {
    let total = pod.items("spec.initContainers").len();
    for (index, status) in pod.items("status.initContainerStatuses").iter().enumerate() {
        let sidecar =
            pod.item_where("spec.initContainers", "name", status.text("name")).is_some_and(is_sidecar);
        let restarts = status.int("restartCount");
        let last = status.text("lastState.terminated.finishedAt");
        summary.restarts = summary.restarts.saturating_add(restarts);
        summary.last_restart = summary.last_restart.max(last);
        if sidecar {
            sidecars.count = sidecars.count.saturating_add(restarts);
            sidecars.last = sidecars.last.max(last);
        }
        let terminated = status.at("state.terminated");
        if terminated.is_some_and(|state| state.int("exitCode") == 0) {
            continue;
        }
        if sidecar && status.flag("started") {
            summary.ready += usize::from(status.flag("ready"));
            continue;
        }
        summary.reason = init_reason(status, index, total);
        return true;
    }
    false
}

fn init_reason(status: &Value, index: usize, total: usize) -> String {
    if let Some(terminated) = status.at("state.terminated") {
        return format!("Init:{}", termination(terminated));
    }
    match status.text("state.waiting.reason") {
        "" | "PodInitializing" => format!("Init:{index}/{total}"),
        reason => format!("Init:{reason}"),
    }
}

fn termination(terminated: &Value) -> String {
    match (terminated.text("reason"), terminated.int("signal")) {
        ("", 0) => format!("ExitCode:{}", terminated.int("exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

fn summarize_containers<'a>(pod: &'a Value, mut summary: Summary<'a>) -> Summary<'a> {
    let mut running = false;
    for status in pod.items("status.containerStatuses").iter().rev() {
        summary.restarts = summary.restarts.saturating_add(status.int("restartCount"));
        summary.last_restart = summary.last_restart.max(status.text("lastState.terminated.finishedAt"));
        let waiting = status.text("state.waiting.reason");
        if !waiting.is_empty() {
            summary.reason = waiting.into();
        } else if let Some(terminated) = status.at("state.terminated") {
            summary.reason = termination(terminated);
        } else if status.flag("ready") && status.has("state.running") {
            running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && running {
        summary.reason = if condition_is_true(pod, "Ready") { "Running" } else { "NotReady" }.into();
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(pod: Value, want: Expect) {
        let cx = Context { now: "2026-01-01T00:01:05Z".parse().expect("a time") };
        let cells = [pod_ready, pod_status, pod_restarts]
            .map(|cell| cell(&pod, cx).as_str().unwrap_or("").to_owned());
        want.assert_eq(&cells.join(" "));
    }

    #[test]
    fn one_word_for_a_pod() {
        let two = json!([{"name": "a"}, {"name": "b"}]);
        let running = json!({"name": "a", "ready": true, "restartCount": 0, "state": {"running": {}}});
        check(json!({"spec": {"containers": two}, "status": {"phase": "Pending"}}), expect!["0/2 Pending 0"]);
        check(
            json!({"spec": {"containers": two}, "status": {"phase": "Running", "containerStatuses": [running]}}),
            expect!["1/2 Running 0"],
        );
        check(
            json!({"spec": {"containers": two}, "status": {"phase": "Running", "containerStatuses": [running, {"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:01:00Z"}}}]}}),
            expect!["1/2 CrashLoopBackOff 3 (5s ago)"],
        );
        check(
            json!({"spec": {"initContainers": [{"name": "i"}, {"name": "j"}], "containers": two}, "status": {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"running": {}}}]}}),
            expect!["0/2 Init:1/2 0"],
        );
        check(
            json!({"metadata": {"deletionTimestamp": "x"}, "spec": {"containers": two}, "status": {"phase": "Running", "containerStatuses": [running]}}),
            expect!["1/2 Terminating 0"],
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Failed", "containerStatuses": [{"restartCount": 0, "state": {"terminated": {"exitCode": 2}}}]}}),
            expect!["0/1 ExitCode:2 0"],
        );
    }
}
