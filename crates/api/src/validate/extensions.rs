//! Kinds that extend the API: custom resources, aggregated APIs, webhooks, policies.

use super::common::{one_of, optional_one_of, required};
use super::metadata::invalid_each;
use super::names;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;

pub(crate) fn custom_resource_definition(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let (name, expected) =
        (object.text("metadata.name"), format!("{}.{}", spec.text("names.plural"), spec.text("group")));
    if name != expected {
        errors.invalid(&path.child("metadata.name"), name, "must be spec.names.plural+\".\"+spec.group");
    }
    let path = path.child("spec");
    match spec.text("group") {
        "" => errors.required(&path.child("group"), ""),
        group if group.split('.').count() < 2 => {
            errors.invalid(&path.child("group"), group, "should be a domain with at least one dot")
        }
        group => invalid_each(&path.child("group"), group, names::dns1123_subdomain(group), errors),
    }
    one_of(spec, "scope", &["Cluster", "Namespaced"], &path, errors);
    versions(spec, &path, errors);
    let at = path.child("names");
    let empty = Value::Null;
    let given = spec.at("names").unwrap_or(&empty);
    for field in ["plural", "singular", "kind", "listKind"] {
        required(given, field, &at, errors);
        let lower = given.text(field).to_lowercase();
        if !lower.is_empty() {
            invalid_each(&at.child(field), given.text(field), names::dns1035_label(&lower), errors);
        }
    }
    if !given.text("kind").is_empty() && given.text("kind") == given.text("listKind") {
        errors.invalid(
            &at.child("listKind"),
            given.text("listKind"),
            "kind and listKind may not be the same",
        );
    }
}

fn versions(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let list = spec.items("versions");
    let at = path.child("versions");
    let storage = list.iter().filter(|version| version.flag("storage")).count();
    for (index, version) in list.iter().enumerate() {
        let path = at.index(index);
        invalid_each(
            &path.child("name"),
            version.text("name"),
            names::dns1035_label(version.text("name")),
            errors,
        );
        if !version.has("schema.openAPIV3Schema") {
            errors.required(&path.child("schema.openAPIV3Schema"), "schemas are required");
        }
    }
    if storage != 1 {
        errors.invalid(
            &at,
            Value::Array(list.to_vec()),
            "must have exactly one version marked as storage version",
        );
    }
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
