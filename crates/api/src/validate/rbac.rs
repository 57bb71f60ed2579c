//! Roles and their bindings.
//!
//! Upstream: pkg/apis/rbac/validation.

use super::common::required;
use super::metadata::invalid_each;
use super::names;
use super::selectors::label_selector;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn role(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    rules(object, true, path, errors);
}

pub(crate) fn cluster_role(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    rules(object, false, path, errors);
    let Some(aggregation) = object.at("aggregationRule") else { return };
    let path = path.child("aggregationRule.clusterRoleSelectors");
    let selectors = aggregation.items("clusterRoleSelectors");
    if selectors.is_empty() {
        errors.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    for (index, selector) in selectors.iter().enumerate() {
        label_selector(Some(selector), &path.index(index), errors);
    }
}

fn rules(object: &Value, namespaced: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("rules");
    for (index, rule) in object.items("rules").iter().enumerate() {
        policy_rule(rule, namespaced, &path.index(index), errors);
    }
}

fn policy_rule(rule: &Value, namespaced: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    let none = |field: &str| rule.items(field).is_empty();
    if none("verbs") {
        errors.required(&path.child("verbs"), "verbs must contain at least one value");
    }
    if !none("nonResourceURLs") {
        let urls = Value::Array(rule.items("nonResourceURLs").to_vec());
        if namespaced {
            errors.invalid(
                &path.child("nonResourceURLs"),
                urls.clone(),
                "namespaced rules cannot apply to non-resource URLs",
            );
        }
        if !none("apiGroups") || !none("resources") || !none("resourceNames") {
            errors.invalid(
                &path.child("nonResourceURLs"),
                urls,
                "rules cannot apply to both regular resources and non-resource URLs",
            );
        }
        return;
    }
    if none("apiGroups") {
        errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
    }
    if none("resources") {
        errors.required(&path.child("resources"), "resource rules must supply at least one resource");
    }
}

/// RoleBinding and ClusterRoleBinding: the namespace tells them apart.
pub(crate) fn role_binding(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let namespaced = !object.text("metadata.namespace").is_empty();
    let empty = Value::Null;
    let reference = object.at("roleRef").unwrap_or(&empty);
    let at = path.child("roleRef");
    if reference.text("apiGroup") != GROUP {
        errors.not_supported(&at.child("apiGroup"), reference.text("apiGroup"), &[GROUP]);
    }
    match reference.text("kind") {
        "ClusterRole" => {}
        "Role" if namespaced => {}
        other if namespaced => errors.not_supported(&at.child("kind"), other, &["ClusterRole", "Role"]),
        other => errors.not_supported(&at.child("kind"), other, &["ClusterRole"]),
    }
    if required(reference, "name", &at, errors) {
        let name = reference.text("name");
        invalid_each(&at.child("name"), name, names::path_segment(name), errors);
    }
    let at = path.child("subjects");
    for (index, subject) in object.items("subjects").iter().enumerate() {
        one_subject(subject, namespaced, &at.index(index), errors);
    }
}

fn one_subject(subject: &Value, namespaced: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    required(subject, "name", path, errors);
    let group = subject.text("apiGroup");
    match subject.text("kind") {
        "ServiceAccount" => {
            if !subject.text("name").is_empty() {
                let name = subject.text("name");
                invalid_each(&path.child("name"), name, names::dns1123_subdomain(name), errors);
            }
            if !group.is_empty() {
                errors.not_supported(&path.child("apiGroup"), group, &[""]);
            }
            if subject.text("namespace").is_empty() && !namespaced {
                errors.required(&path.child("namespace"), "");
            }
        }
        "User" | "Group" if group != GROUP => errors.not_supported(&path.child("apiGroup"), group, &[GROUP]),
        "User" | "Group" => {}
        other => errors.not_supported(&path.child("kind"), other, &["Group", "ServiceAccount", "User"]),
    }
}
