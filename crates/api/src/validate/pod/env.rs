//! Environment variables and where they come from.

use super::containers::Pod;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::common::{named, required};
use crate::validate::names;
use serde_json::Value;

const SOURCES: &[&str] = &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
pub(super) const VOLUME_FIELDS: &[&str] =
    &["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
];

pub(super) fn check(container: &Value, _: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("env");
    for (index, variable) in container.items("env").iter().enumerate() {
        let path = at.index(index);
        named(variable, "name", names::env_var_name, &path, errors);
        if let Some(source) = variable.at("valueFrom") {
            value_from(source, !variable.text("value").is_empty(), &path.child("valueFrom"), errors);
        }
    }
    let at = path.child("envFrom");
    for (index, source) in container.items("envFrom").iter().enumerate() {
        env_from(source, &at.index(index), errors);
    }
}

fn value_from(source: &Value, has_value: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in SOURCES {
        if let Some(found) = source.at(field) {
            let path = path.child(field);
            match *field {
                "fieldRef" => field_ref(found, ENV_FIELDS, &path, errors),
                "resourceFieldRef" => resource_ref(found, false, &path, errors),
                "fileKeyRef" => file_key(found, &path, errors),
                _ => key_ref(found, &path, errors),
            }
        }
    }
    let count = SOURCES.iter().filter(|field| source.has(field)).count();
    let detail = match count {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if has_value => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.invalid(path, "", detail);
}

pub(super) fn field_ref(reference: &Value, allowed: &[&str], path: &Path<'_>, errors: &mut FieldErrors) {
    let field = reference.text("fieldPath");
    if !required(reference, "apiVersion", path, errors) || !required(reference, "fieldPath", path, errors) {
        return;
    }
    let subscript = field.split_once("['").filter(|(_, rest)| rest.ends_with("']"));
    match subscript {
        Some(("metadata.annotations" | "metadata.labels", _)) => {}
        Some((base, _)) => errors.invalid(&path.child("fieldPath"), base, "does not support subscript"),
        None if !allowed.contains(&field) => errors.not_supported(&path.child("fieldPath"), field, allowed),
        None => {}
    }
}

/// `in_volume`: there the container must be named.
pub(super) fn resource_ref(reference: &Value, in_volume: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    if in_volume && !required(reference, "containerName", path, errors) {
        return;
    }
    let resource = reference.text("resource");
    let known = RESOURCES.contains(&resource)
        || resource.starts_with("limits.hugepages-")
        || resource.starts_with("requests.hugepages-");
    if required(reference, "resource", path, errors) && !known {
        errors.not_supported(&path.child("resource"), resource, RESOURCES);
    }
}

fn key_ref(reference: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    required(reference, "name", path, errors);
    named(reference, "key", names::config_map_key, path, errors);
}

fn file_key(reference: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["volumeName", "path", "key"] {
        required(reference, field, path, errors);
    }
}

fn env_from(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let prefix = source.text("prefix");
    if !prefix.is_empty() {
        crate::validate::metadata::invalid_each(
            &path.child("prefix"),
            prefix,
            names::env_var_name(prefix),
            errors,
        );
    }
    let mut count = 0;
    for field in ["configMapRef", "secretRef"] {
        if let Some(reference) = source.at(field) {
            count += 1;
            required(reference, "name", &path.child(field), errors);
        }
    }
    match count {
        0 => errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"),
        1 => {}
        _ => errors.invalid(path, "", "may not have more than one field specified at a time"),
    }
}
