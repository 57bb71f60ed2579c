//! Certificate requests: who asks is what authentication says, not what the object says.
//!
//! Upstream: pkg/registry/certificates/certificates/strategy.go.

use serde_json::{Value, json};

use super::{Strategy, Writer};

pub(super) struct Requests;

/// Conditions that only `/approval` may set.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

impl Strategy for Requests {
    fn resource(&self) -> (&'static str, &'static str) {
        ("certificates.k8s.io", "certificatesigningrequests")
    }

    fn prepare_create(&self, request: &mut Value, writer: Writer<'_>) {
        let spec = &mut request["spec"];
        spec["username"] = json!(writer.user.name);
        spec["groups"] = json!(writer.user.groups);
        set_or_remove(spec, "uid", (!writer.user.uid.is_empty()).then(|| json!(writer.user.uid)));
        set_or_remove(spec, "extra", (!writer.user.extra.is_empty()).then(|| json!(writer.user.extra)));
        request["status"] = json!({});
    }

    fn prepare_update(&self, request: &mut Value, old: &Value) {
        request["spec"] = old["spec"].clone();
    }

    fn prepare_status(&self, request: &mut Value, old: &Value) {
        let decided = conditions(old, |decision| decision);
        let mut all = conditions(request, |decision| !decision);
        all.splice(0..0, decided);
        request["status"]["conditions"] = Value::Array(all);
    }

    fn prepare_subresource(&self, subresource: &str, request: &mut Value, old: &Value) -> bool {
        if subresource != "approval" {
            return false;
        }
        let asked = request["status"]["conditions"].clone();
        request["spec"] = old["spec"].clone();
        request["status"] = if old["status"].is_object() { old["status"].clone() } else { json!({}) };
        request["status"]["conditions"] = asked;
        crate::object::prune_null(&mut request["status"]);
        true
    }
}

fn conditions(request: &Value, keep: impl Fn(bool) -> bool) -> Vec<Value> {
    let all = request["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let is_decision = |c: &Value| c["type"].as_str().is_some_and(|kind| DECISIONS.contains(&kind));
    all.iter().filter(|condition| keep(is_decision(condition))).cloned().collect()
}

fn set_or_remove(spec: &mut Value, field: &str, value: Option<Value>) {
    match (value, spec.as_object_mut()) {
        (Some(value), Some(spec)) => {
            spec.insert(field.into(), value);
        }
        (None, Some(spec)) => {
            spec.remove(field);
        }
        (_, None) => {}
    }
}
