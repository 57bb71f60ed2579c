//! Nodes, and what runs on them.

use super::{Context, text_or};
use crate::access::Access;
use serde_json::Value;

pub(crate) fn node_status(node: &Value, _: Context) -> Value {
    let ready = node.item_where("status.conditions", "type", "Ready");
    let mut text = match ready.map(|condition| condition.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.flag("spec.unschedulable") {
        text += ",SchedulingDisabled";
    }
    text.into()
}

pub(crate) fn node_roles(node: &Value, _: Context) -> Value {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in node.map("metadata.labels") {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.extend(value.as_str());
        }
    }
    roles.retain(|role| !role.is_empty());
    roles.sort_unstable();
    roles.dedup();
    super::text::or_none(roles.join(",")).into()
}

pub(crate) fn node_internal_ip(node: &Value, _: Context) -> Value {
    address(node, "InternalIP")
}

pub(crate) fn node_external_ip(node: &Value, _: Context) -> Value {
    address(node, "ExternalIP")
}

fn address(node: &Value, kind: &str) -> Value {
    node.item_where("status.addresses", "type", kind)
        .map_or("<none>".into(), |found| found.text("address").into())
}

pub(crate) fn node_os_image(node: &Value, _: Context) -> Value {
    text_or(node, "status.nodeInfo.osImage", "<unknown>")
}

pub(crate) fn node_kernel(node: &Value, _: Context) -> Value {
    text_or(node, "status.nodeInfo.kernelVersion", "<unknown>")
}

pub(crate) fn node_runtime(node: &Value, _: Context) -> Value {
    text_or(node, "status.nodeInfo.containerRuntimeVersion", "<unknown>")
}

pub(crate) fn component_status(object: &Value, _: Context) -> Value {
    match object.item_where("conditions", "type", "Healthy").map(|condition| condition.text("status")) {
        Some("True") => "Healthy",
        Some("False") => "Unhealthy",
        _ => "Unknown",
    }
    .into()
}

pub(crate) fn component_message(object: &Value, _: Context) -> Value {
    object
        .item_where("conditions", "type", "Healthy")
        .map_or("", |condition| condition.text("message"))
        .into()
}

pub(crate) fn component_error(object: &Value, _: Context) -> Value {
    object.item_where("conditions", "type", "Healthy").map_or("", |condition| condition.text("error")).into()
}
