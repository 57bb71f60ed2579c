//! A pod.

use serde_json::Value;

use super::Page;
use super::page::{items, or_none, plain, text_at};
use super::template::{constraints, containers, volumes};
use crate::text::{date, since};

pub fn write(page: &mut Page, pod: &Value) {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    page.field(0, "Name", text_at(metadata, "name"));
    page.field(0, "Namespace", text_at(metadata, "namespace"));
    if spec["priority"].is_number() {
        page.field(0, "Priority", plain(&spec["priority"]));
    }
    for (title, field) in [
        ("Priority Class Name", "priorityClassName"),
        ("Runtime Class Name", "runtimeClassName"),
        ("Service Account", "serviceAccountName"),
    ] {
        if !text_at(spec, field).is_empty() {
            page.field(0, title, text_at(spec, field));
        }
    }
    let node = text_at(spec, "nodeName");
    page.field(
        0,
        "Node",
        if node.is_empty() { "<none>".into() } else { format!("{node}/{}", text_at(status, "hostIP")) },
    );
    if status["startTime"].is_string() {
        page.field(0, "Start Time", date(text_at(status, "startTime")));
    }
    page.labels(metadata);
    phase(page, metadata, status);
    addresses(page, status);
    if let Some(owner) = items(&metadata["ownerReferences"]).find(|owner| owner["controller"] == true) {
        page.line(0, format!("Controlled By:\t{}/{}", text_at(owner, "kind"), text_at(owner, "name")));
    }
    if !text_at(status, "nominatedNodeName").is_empty() {
        page.field(0, "NominatedNodeName", text_at(status, "nominatedNodeName"));
    }
    containers(page, "Init Containers", &spec["initContainers"], Some(&status["initContainerStatuses"]), "");
    containers(page, "Containers", &spec["containers"], Some(&status["containerStatuses"]), "");
    containers(
        page,
        "Ephemeral Containers",
        &spec["ephemeralContainers"],
        Some(&status["ephemeralContainerStatuses"]),
        "",
    );
    readiness_gates(page, spec, status);
    conditions(page, &status["conditions"]);
    volumes(page, &spec["volumes"], "");
    if !text_at(status, "qosClass").is_empty() {
        page.field(0, "QoS Class", text_at(status, "qosClass"));
    }
    constraints(page, spec, "");
}

fn phase(page: &mut Page, metadata: &Value, status: &Value) {
    if metadata["deletionTimestamp"].is_string() {
        page.line(
            0,
            format!(
                "Status:\tTerminating (lasts {})",
                since(text_at(metadata, "deletionTimestamp"), crate::now())
            ),
        );
        page.line(
            0,
            format!("Termination Grace Period:\t{}s", plain(&metadata["deletionGracePeriodSeconds"])),
        );
    } else {
        page.field(0, "Status", text_at(status, "phase"));
    }
    for (title, field) in [("Reason", "reason"), ("Message", "message")] {
        if !text_at(status, field).is_empty() {
            page.field(0, title, text_at(status, field));
        }
    }
}

fn addresses(page: &mut Page, status: &Value) {
    page.field(0, "IP", text_at(status, "podIP"));
    if items(&status["podIPs"]).next().is_none() {
        page.line(0, "IPs:\t<none>");
        return;
    }
    page.line(0, "IPs:");
    for address in items(&status["podIPs"]) {
        page.field(1, "IP", text_at(address, "ip"));
    }
}

fn readiness_gates(page: &mut Page, spec: &Value, status: &Value) {
    if items(&spec["readinessGates"]).next().is_none() {
        return;
    }
    page.line(0, "Readiness Gates:\n  Type\tStatus");
    for gate in items(&spec["readinessGates"]) {
        let kind = text_at(gate, "conditionType");
        let condition = items(&status["conditions"]).find(|condition| condition["type"] == kind);
        page.line(
            1,
            format!("{kind}\t{} ", condition.map_or("<none>", |condition| text_at(condition, "status"))),
        );
    }
}

fn conditions(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        return;
    }
    page.line(0, "Conditions:\n  Type\tStatus");
    for condition in items(list) {
        page.line(1, format!("{}\t{} ", text_at(condition, "type"), text_at(condition, "status")));
    }
}

/// State, last state, readiness and restarts.
pub fn container_status(page: &mut Page, status: &Value) {
    state(page, "State", &status["state"]);
    if status["lastState"]["terminated"].is_object() {
        state(page, "Last State", &status["lastState"]);
    }
    page.field(2, "Ready", if status["ready"] == true { "True" } else { "False" });
    page.field(2, "Restart Count", plain(&status["restartCount"]));
}

fn state(page: &mut Page, title: &str, state: &Value) {
    if state["running"].is_object() {
        page.field(2, title, "Running");
        page.field(3, "Started", date(text_at(&state["running"], "startedAt")));
    } else if state["terminated"].is_object() {
        let ended = &state["terminated"];
        page.field(2, title, "Terminated");
        for (title, field) in [("Reason", "reason"), ("Message", "message")] {
            if !text_at(ended, field).is_empty() {
                page.field(3, title, text_at(ended, field));
            }
        }
        page.field(3, "Exit Code", plain(&ended["exitCode"]));
        if ended["signal"].as_i64().unwrap_or(0) > 0 {
            page.field(3, "Signal", plain(&ended["signal"]));
        }
        page.field(3, "Started", date(text_at(ended, "startedAt")));
        page.field(3, "Finished", date(text_at(ended, "finishedAt")));
    } else if state["waiting"].is_object() {
        page.field(2, title, "Waiting");
        for (title, field) in [("Reason", "reason"), ("Message", "message")] {
            if !text_at(&state["waiting"], field).is_empty() {
                page.field(3, title, or_none(text_at(&state["waiting"], field)));
            }
        }
    } else {
        page.field(2, title, "Waiting");
    }
}
