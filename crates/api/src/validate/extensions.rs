//! Kinds that extend the API: custom resources, aggregated APIs, webhooks, policies.

use super::common::{optional_one_of, required};
use super::metadata::invalid_each;
use super::names;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;

pub(crate) fn custom_resource_definition(object: &Value, _path: &Path<'_>, errors: &mut FieldErrors) {
    crate::custom::check_definition(object, errors);
}

pub(crate) fn api_service(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let expected = format!("{}.{}", spec.text("version"), spec.text("group"));
    let name = object.text("metadata.name");
    if name != expected {
        errors.invalid(
            &path.child("metadata.name"),
            name,
            format!("must be `spec.version+\".\"+spec.group`: {expected:?}"),
        );
    }
    let path = path.child("spec");
    required(spec, "version", &path, errors);
    let priority = |field: &str, max: i64, errors: &mut FieldErrors| {
        let value = spec.int(field);
        if value <= 0 || value > max {
            errors.invalid(
                &path.child(field),
                value,
                format!("must be positive and less than {max}", max = max),
            );
        }
    };
    priority("groupPriorityMinimum", 20000, errors);
    priority("versionPriority", 1000, errors);
    if !spec.has("service") && (!spec.text("caBundle").is_empty() || spec.flag("insecureSkipTLSVerify")) {
        errors.invalid(&path.child("caBundle"), "", "local APIServices may not have a caBundle");
    }
}

pub(crate) fn webhooks(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("webhooks");
    let mut seen = super::common::Unique::default();
    for (index, hook) in object.items("webhooks").iter().enumerate() {
        let path = at.index(index);
        let name = hook.text("name");
        match name {
            "" => errors.required(&path.child("name"), ""),
            _ if name.split('.').count() < 3 => errors.invalid(
                &path.child("name"),
                name,
                "should be a domain with at least three segments separated by dots",
            ),
            _ => invalid_each(&path.child("name"), name, names::dns1123_subdomain(name), errors),
        }
        seen.check(name, &path.child("name"), errors);
        webhook(hook, &path, errors);
    }
}

fn webhook(hook: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if hook.items("admissionReviewVersions").is_empty() {
        errors.required(&path.child("admissionReviewVersions"), "must specify one of v1, v1beta1");
    }
    optional_one_of(hook, "failurePolicy", &["Fail", "Ignore"], path, errors);
    optional_one_of(hook, "matchPolicy", &["Equivalent", "Exact"], path, errors);
    match hook.text("sideEffects") {
        "None" | "NoneOnDryRun" => {}
        "" => errors.required(&path.child("sideEffects"), "must specify one of None, NoneOnDryRun"),
        other => errors.not_supported(&path.child("sideEffects"), other, &["None", "NoneOnDryRun"]),
    }
    if let Some(seconds) = hook.int_at("timeoutSeconds").filter(|seconds| !(1..=30).contains(seconds)) {
        errors.invalid(
            &path.child("timeoutSeconds"),
            seconds,
            "the timeout value must be between 1 and 30 seconds",
        );
    }
    if hook.has("clientConfig.url") == hook.has("clientConfig.service") {
        errors.required(&path.child("clientConfig"), "exactly one of url or service is required");
    }
}

pub(crate) fn validating_policy(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    if !spec.has("matchConstraints") {
        errors.required(&path.child("matchConstraints"), "");
    }
    if spec.items("validations").is_empty() && spec.items("auditAnnotations").is_empty() {
        errors.required(
            &path.child("validations"),
            "validations or auditAnnotations must contain at least one item",
        );
    }
}

pub(crate) fn policy_binding(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    required(spec, "policyName", &path, errors);
    let validating = object.text("kind") == "ValidatingAdmissionPolicyBinding";
    if validating && spec.items("validationActions").is_empty() {
        errors.required(&path.child("validationActions"), "at least one validation action is required");
    }
}
