//! The small kinds of the core group.

use super::common::{one_of, optional_one_of, required};
use super::metadata::{changed, invalid_each, nonnegative};
use super::{names, pod};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::{Value, json};

const MAX_BYTES: usize = 1024 * 1024;
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

pub(crate) fn config_map(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let mut size = 0;
    for (key, value) in object.map("data") {
        let at = path.child("data");
        invalid_each(&at.key(key), key, names::config_map_key(key), errors);
        if object.map("binaryData").contains_key(key) {
            errors.invalid(&at.key(key), key.as_str(), "duplicate of key present in binaryData");
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in object.map("binaryData") {
        let at = path.child("binaryData");
        invalid_each(&at.key(key), key, names::config_map_key(key), errors);
        size += decoded_len(value);
    }
    if size > MAX_BYTES {
        errors.too_long(path, MAX_BYTES);
    }
}

/// Three bytes for each four characters of base64, less the padding.
fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("").trim_end_matches('=');
    text.len() * 3 / 4
}

pub(crate) fn config_map_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    immutable_data(new, old, &["data", "binaryData"], errors);
}

fn immutable_data(new: &Value, old: &Value, fields: &[&str], errors: &mut FieldErrors) {
    if !old.flag("immutable") {
        return;
    }
    let root = Path::Root;
    if !new.flag("immutable") {
        errors.forbidden(&root.child("immutable"), IMMUTABLE);
    }
    for field in fields {
        if changed(new.at(field), old.at(field)) {
            errors.forbidden(&root.child(field), IMMUTABLE);
        }
    }
}

pub(crate) fn secret(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let data = object.map("data");
    let at = path.child("data");
    let mut size = 0;
    for (key, value) in data {
        invalid_each(&at.key(key), key, names::config_map_key(key), errors);
        size += decoded_len(value);
    }
    if size > MAX_BYTES {
        errors.too_long(&at, MAX_BYTES);
    }
    let needed: &[&str] = match object.text("type") {
        "kubernetes.io/service-account-token" => {
            if object
                .map("metadata.annotations")
                .get("kubernetes.io/service-account.name")
                .and_then(Value::as_str)
                .unwrap_or("")
                .is_empty()
            {
                let annotations = path.child("metadata.annotations");
                errors.required(&annotations.key("kubernetes.io/service-account.name"), "");
            }
            &[]
        }
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/basic-auth" => {
            if !data.contains_key("username") && !data.contains_key("password") {
                errors.required(&at.key("username"), "");
                errors.required(&at.key("password"), "");
            }
            &[]
        }
        _ => &[],
    };
    for key in needed.iter().filter(|key| !data.contains_key(**key)) {
        errors.required(&at.key(key), "");
    }
}

pub(crate) fn secret_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    super::metadata::immutable(new, old, "type", &root, errors);
    immutable_data(new, old, &["data"], errors);
}

pub(crate) fn namespace(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("spec.finalizers");
    for name in object.items("spec.finalizers").iter().filter_map(Value::as_str) {
        invalid_each(&at, name, names::qualified_name(name), errors);
    }
}

pub(crate) fn node(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("spec.taints");
    let mut seen = Vec::new();
    for (index, taint) in object.items("spec.taints").iter().enumerate() {
        let path = at.index(index);
        let (key, value) = (taint.text("key"), taint.text("value"));
        invalid_each(&path.child("key"), key, names::qualified_name(key), errors);
        invalid_each(&path.child("value"), value, names::label_value(value), errors);
        one_of(taint, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], &path, errors);
        let pair = (key, taint.text("effect"));
        if seen.contains(&pair) {
            errors.duplicate(&path, taint.clone());
        }
        seen.push(pair);
    }
    let at = path.child("spec.podCIDRs");
    for (index, cidr) in object.items("spec.podCIDRs").iter().filter_map(Value::as_str).enumerate() {
        invalid_each(&at.index(index), cidr, names::cidr(cidr), errors);
    }
}

pub(crate) fn node_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    let spec = root.child("spec");
    let was = old.items("spec.podCIDRs");
    if !was.is_empty() && new.items("spec.podCIDRs") != was {
        errors.forbidden(
            &spec.child("podCIDRs"),
            "node updates may not change podCIDR except from \"\" to valid",
        );
    }
    let provider = old.text("spec.providerID");
    if !provider.is_empty() && new.text("spec.providerID") != provider {
        errors.forbidden(
            &spec.child("providerID"),
            "node updates may not change providerID except from \"\" to valid",
        );
    }
}

pub(crate) fn event(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let (own, involved) = (object.text("metadata.namespace"), object.text("involvedObject.namespace"));
    let expected = if involved.is_empty() { "default" } else { involved };
    let cluster_scoped = involved.is_empty();
    let allowed = own == expected || (cluster_scoped && own == "kube-system");
    if !allowed {
        errors.invalid(&path.child("involvedObject.namespace"), involved, "does not match event.namespace");
    }
}

pub(crate) fn event_v1(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if !object.has("eventTime") && !object.has("deprecatedFirstTimestamp") {
        errors.required(&path.child("eventTime"), "");
    }
    for field in ["reportingController", "reportingInstance", "action", "reason"] {
        let modern = !object.has("deprecatedFirstTimestamp");
        if modern {
            required(object, field, path, errors);
        }
    }
    if object.text("note").len() > 1024 {
        errors.invalid(&path.child("note"), "", "can have at most 1024 characters");
    }
}

pub(crate) fn event_v1_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    for field in [
        "regarding",
        "related",
        "reason",
        "action",
        "reportingController",
        "reportingInstance",
        "eventTime",
        "type",
        "note",
    ] {
        super::metadata::immutable(new, old, field, &root, errors);
    }
}

pub(crate) fn limit_range(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("spec.limits");
    let mut seen = super::common::Unique::default();
    for (index, item) in object.items("spec.limits").iter().enumerate() {
        let path = at.index(index);
        if required(item, "type", &path, errors) {
            seen.check(item.text("type"), &path.child("type"), errors);
        }
        if item.text("type") == "Pod" {
            for field in ["default", "defaultRequest"] {
                if !item.map(field).is_empty() {
                    errors.forbidden(&path.child(field), "may not be specified when `type` is 'Pod'");
                }
            }
        }
    }
}

pub(crate) fn resource_quota(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("spec.hard");
    for (name, value) in object.map("spec.hard") {
        invalid_each(&at.key(name), name, names::qualified_name(name), errors);
        if value.as_str().is_some_and(|text| text.starts_with('-')) {
            errors.invalid(&at.key(name), value.clone(), super::metadata::NEGATIVE);
        }
    }
}

pub(crate) fn binding(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let kind = object.text("target.kind");
    if !matches!(kind, "" | "Node") {
        errors.not_supported(&path.child("target.kind"), kind, &["Node", "<empty>"]);
    }
    if object.text("target.name").is_empty() {
        errors.required(&path.child("target.name"), "");
    }
}

pub(crate) fn priority_class(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let (name, value) = (object.text("metadata.name"), object.int("value"));
    let system = matches!(
        (name, value),
        ("system-node-critical", 2_000_001_000) | ("system-cluster-critical", 2_000_000_000)
    );
    if name.starts_with("system-") && !system {
        errors.forbidden(&path.child("metadata.name"), "priority class names with 'system-' prefix are reserved for system use only. error: only known names can be used");
    }
    if value > 1_000_000_000 && !system {
        errors.forbidden(
            &path.child("value"),
            "maximum allowed value of a user defined priority is 1000000000",
        );
    }
    optional_one_of(object, "preemptionPolicy", &["Never", "PreemptLowerPriority"], path, errors);
}

pub(crate) fn lease(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("spec");
    if let Some(seconds) = object.int_at("spec.leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
        errors.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(count) = object.int_at("spec.leaseTransitions").filter(|count| *count < 0) {
        errors.invalid(&path.child("leaseTransitions"), count, "must be greater than or equal to 0");
    }
}

pub(crate) fn runtime_class(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let handler = object.text("handler");
    invalid_each(&path.child("handler"), handler, names::dns1123_label(handler), errors);
    if let Some(overhead) = object.at("overhead") {
        pod::resource_list(overhead, "podFixed", &path.child("overhead"), errors);
    }
}

pub(crate) fn token_request(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let seconds = object.int("spec.expirationSeconds");
    let at = path.child("spec.expirationSeconds");
    if seconds < 600 {
        errors.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > 1 << 32 {
        errors.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    nonnegative(object, "metadata.generation", path, errors);
}

pub(crate) fn certificate_signing_request(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    if spec.text("request").is_empty() {
        errors.invalid(&path.child("request"), json!(""), "PEM block type must be CERTIFICATE REQUEST");
    }
    if spec.items("usages").is_empty() {
        errors.required(&path.child("usages"), "");
    }
    match spec.text("signerName") {
        "" => errors.required(&path.child("signerName"), ""),
        name if !name.contains('/') => errors.invalid(
            &path.child("signerName"),
            name,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        _ => {}
    }
    if let Some(seconds) = spec.int_at("expirationSeconds").filter(|seconds| *seconds < 600) {
        errors.invalid(
            &path.child("expirationSeconds"),
            seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        );
    }
}
