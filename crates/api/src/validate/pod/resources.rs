//! Requests and limits.

use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::quantity::Quantity;
use crate::validate::common::{Unique, required};
use crate::validate::metadata::{NEGATIVE, invalid_each};
use crate::validate::names;
use serde_json::Value;

const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// The `resources` of a container or a pod.
pub(super) fn requirements(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(resources) = object.at("resources") else { return };
    let path = path.child("resources");
    check_list(resources, "limits", &path, errors);
    let requests_path = path.child("requests");
    let limits = resources.map("limits");
    for (name, value) in resources.map("requests") {
        check_one(name, value, &requests_path, errors);
        exceeds_limit(name, value, limits.get(name), &path, errors);
    }
    claims(resources, &path, errors);
}

fn claims(resources: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("claims");
    let mut seen = Unique::default();
    for (index, claim) in resources.items("claims").iter().enumerate() {
        let path = path.index(index);
        if required(claim, "name", &path, errors) {
            seen.check(claim.text("name"), &path, errors);
        }
    }
}

/// A list of quantities by resource.
pub(crate) fn check_list(object: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child(field);
    for (name, value) in object.map(field) {
        check_one(name, value, &path, errors);
    }
}

fn check_one(name: &str, value: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.key(name);
    invalid_each(&at, name, names::qualified_name(name), errors);
    let known = name.contains('/') || STANDARD.contains(&name) || name.starts_with("hugepages-");
    if !known {
        errors.invalid(&at, name, "must be a standard resource for containers");
    }
    let Some(quantity) = parse(value) else { return };
    if quantity < Quantity::ZERO {
        errors.invalid(&at, value.clone(), NEGATIVE);
    }
    if is_extended(name) && value.as_str().is_some_and(|text| text.ends_with('m')) {
        errors.invalid(&at, value.clone(), "must be an integer");
    }
}

/// Quantities were checked when the object was decoded: what is none here is absent.
fn parse(value: &Value) -> Option<Quantity> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn is_extended(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(domain, _)| domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io"))
}

fn exceeds_limit(
    name: &str,
    request: &Value,
    limit: Option<&Value>,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let overcommits = !is_extended(name) && !name.starts_with("hugepages-");
    let Some(limit) = limit else {
        if !overcommits {
            errors.required(&path.child("limits"), "Limit must be set for non overcommitable resources");
        }
        return;
    };
    let (Some(asked), Some(most)) = (parse(request), parse(limit)) else { return };
    let detail = match () {
        _ if overcommits && asked > most => "less than or equal to",
        _ if !overcommits && asked != most => "equal to",
        _ => return,
    };
    let limit = limit.as_str().unwrap_or("");
    errors.invalid(
        &path.child("requests"),
        request.clone(),
        format!("must be {detail} {name} limit of {limit}"),
    );
}
