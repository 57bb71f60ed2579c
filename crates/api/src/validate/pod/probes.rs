//! Probes and lifecycle handlers.

use super::containers::Pod;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::common::{number, one_of, port_or_name, required};
use crate::validate::metadata::{invalid_each, nonnegative};
use crate::validate::names;
use serde_json::Value;

pub(super) fn check(container: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["postStart", "preStop"] {
        if let Some(found) = container.at("lifecycle").and_then(|lifecycle| lifecycle.at(field)) {
            let path = path.child("lifecycle");
            handler(found, &["exec", "httpGet", "tcpSocket", "sleep"], pod, &path.child(field), errors);
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = container.at(field) {
            probe(found, field, pod, &path.child(field), errors);
        }
    }
}

/// Init containers that run to their end have none of these.
pub(super) fn forbid(container: &Value, detail: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if container.has(field) {
            errors.forbidden(&path.child(field), detail);
        }
    }
}

fn probe(probe: &Value, field: &str, pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], pod, path, errors);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        nonnegative(probe, field, path, errors);
    }
    let grace = probe.int_at("terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
        errors.invalid(&path.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
    }
    if field == "readinessProbe" {
        if let Some(seconds) = grace {
            errors.invalid(
                &path.child("terminationGracePeriodSeconds"),
                seconds,
                "must not be set for readinessProbes",
            );
        }
    } else if probe.int("successThreshold") != 1 {
        errors.invalid(&path.child("successThreshold"), probe.int("successThreshold"), "must be 1");
    }
}

fn handler(object: &Value, kinds: &[&str], pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    let mut count = 0;
    for kind in kinds {
        let Some(found) = object.at(kind) else { continue };
        count += 1;
        let path = path.child(kind);
        if count > 1 {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if found.items("command").is_empty() => errors.required(&path.child("command"), ""),
            "httpGet" => http_get(found, &path, errors),
            "tcpSocket" => port_or_name(found, "port", &path, errors),
            "grpc" => number(found, "port", names::port_number, &path, errors),
            "sleep" => sleep(found, pod, &path, errors),
            _ => {}
        }
    }
    if count == 0 {
        errors.required(path, "must specify a handler type");
    }
}

fn http_get(action: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    required(action, "path", path, errors);
    port_or_name(action, "port", path, errors);
    one_of(action, "scheme", &["HTTP", "HTTPS"], path, errors);
    let path = path.child("httpHeaders");
    for header in action.items("httpHeaders") {
        let name = header.text("name");
        invalid_each(&path, name, names::header_name(name), errors);
    }
}

fn sleep(action: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    let seconds = action.int("seconds");
    if seconds < 0 || seconds > pod.grace_seconds {
        let detail = format!(
            "must be non-negative and less than terminationGracePeriodSeconds ({})",
            pod.grace_seconds
        );
        errors.invalid(&path.child("seconds"), seconds, detail);
    }
}
