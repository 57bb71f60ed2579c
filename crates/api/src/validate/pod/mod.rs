//! Pods and pod templates.
//!
//! Upstream: pkg/apis/core/validation/validation.go, ValidatePodSpec and what it calls, in its order.

mod containers;
mod env;
mod probes;
mod resources;
mod scheduling;
mod security;
mod spec;
mod update;
mod volumes;

#[cfg(test)]
mod tests;

pub(crate) use resources::check_list as resource_list;
pub(crate) use scheduling::node_selector;
pub(crate) use update::update as pod_update;

use super::metadata;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;

/// A Pod of its own: what no template needs to keep.
pub(crate) fn pod(pod: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(spec) = pod.at("spec") else {
        return errors.required(&path.child("spec.containers"), "");
    };
    spec::check(spec, &path.child("spec"), errors);
}

/// Ephemeral containers are added to a Pod that runs.
pub(crate) fn new_pod(pod: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if !pod.items("spec.ephemeralContainers").is_empty() {
        errors.forbidden(&path.child("spec.ephemeralContainers"), "cannot be set on create");
    }
}

/// A PodTemplateSpec.
pub(crate) fn template(template: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    metadata::labels(template.map("metadata.labels"), &path.child("labels"), errors);
    metadata::annotations(template.map("metadata.annotations"), &path.child("annotations"), errors);
    let spec_path = path.child("spec");
    match template.at("spec") {
        Some(spec) => spec::check(spec, &spec_path, errors),
        None => errors.required(&spec_path.child("containers"), ""),
    }
    if !template.items("spec.ephemeralContainers").is_empty() {
        errors.forbidden(
            &spec_path.child("ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

pub(crate) fn pod_template(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if let Some(found) = object.at("template") {
        template(found, &path.child("template"), errors);
    }
}
