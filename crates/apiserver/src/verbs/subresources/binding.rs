//! `pods/binding`: a pod gets its node, once.
//!
//! Upstream: pkg/registry/core/pod/storage/storage.go, `BindingREST`.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{check_uid, own_object, rewrite, success};
use crate::admission::Operation;
use crate::error::{ApiError, GroupResource, Result};
use crate::verbs::write::Write;
use crate::verbs::{Call, WriteOptions};
use crate::{Body, Response, object};

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let (mut binding, warnings) = own_object(call, request_body, &options).await?;
    call.check_place(&mut binding)?;
    let write = Write::new(call, &options)?;
    let mut request = write.admission(Operation::Create, Some(binding.clone()), None);
    call.core.admission.admit(&mut request).await?;
    call.core.admission.validate(&request).await?;
    bind(call, call.name(), &binding, &options).await?;
    call.answer_plain(StatusCode::CREATED, &success(), &warnings)
}

/// Carries out a Binding.
pub async fn bind(call: &Call, name: &str, binding: &Value, options: &WriteOptions) -> Result<()> {
    let pods = call.core.registry.storage("", "pods").ok_or_else(ApiError::no_such_path)?;
    let node = binding["target"]["name"].as_str().unwrap_or("").to_string();
    check(binding, &node)?;
    let now = call.core.clock.now();
    rewrite(&pods, call.namespace(), name, options.dry_run, |pod| {
        check_uid(&pods, object::meta(binding, "uid"), pod)?;
        assign(pod, &node, binding, now)
    })
    .await?;
    Ok(())
}

fn check(binding: &Value, node: &str) -> Result<()> {
    let mut problems = Vec::new();
    let kind = binding["target"]["kind"].as_str().unwrap_or("");
    if !matches!(kind, "" | "Node") {
        let message = format!(r#"Unsupported value: {kind:?}: supported values: "Node", "<empty>""#);
        problems.push(("FieldValueNotSupported".into(), message, "target.kind".into()));
    }
    if node.is_empty() {
        problems.push(("FieldValueRequired".into(), "Required value".into(), "target.name".into()));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid("", "Binding", object::name(binding), &problems))
}

fn assign(pod: &mut Value, node: &str, binding: &Value, now: Timestamp) -> Result<()> {
    let name = object::name(pod).to_string();
    let conflict =
        |why: String| Err(ApiError::conflict(&GroupResource::new("", "pods/binding"), &name, &why));
    if object::is_terminating(pod) {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let assigned = pod["spec"]["nodeName"].as_str().unwrap_or("");
    if !assigned.is_empty() {
        return conflict(format!("pod {name} is already assigned to node {assigned:?}"));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod["spec"]["nodeName"] = json!(node);
    if let Some(annotations) = binding["metadata"]["annotations"].as_object() {
        for (key, value) in annotations {
            pod["metadata"]["annotations"][key] = value.clone();
        }
    }
    set_scheduled(pod, now);
    Ok(())
}

fn set_scheduled(pod: &mut Value, now: Timestamp) {
    let scheduled = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": object::time(now),
    });
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default(); // none yet
    match conditions.iter_mut().find(|condition| condition["type"] == "PodScheduled") {
        Some(condition) if condition["status"] == "True" => {}
        Some(condition) => *condition = scheduled,
        None => conditions.push(scheduled),
    }
    pod["status"]["conditions"] = json!(conditions);
}
