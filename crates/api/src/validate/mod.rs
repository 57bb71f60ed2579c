//! Whether an object may be created, and whether it may become another.
//!
//! Runs after defaulting, on objects that decoded: types, quantities and times are right already.
//! Upstream: pkg/apis/*/validation. The checks of a kind are named in its `.rules` file.

mod batch;
pub(crate) mod checks;
mod common;
mod core;
mod extensions;
mod generic;
#[cfg(test)]
mod manifests;
pub mod metadata;
pub mod names;
mod networking;
mod pod;
mod rbac;
#[cfg(test)]
mod robust;
pub mod selectors;
mod services;
pub(crate) mod storage;
mod workloads;

#[cfg(test)]
mod tests;

use crate::access::Access;
use crate::field_errors::{FieldError, FieldErrorKind, FieldErrors, Path};
use crate::rules::{self, Frozen};
use crate::schema::{ResourceRef, Schema, TypeRef};
use serde_json::Value;

/// Checks a new object of a resource, after defaulting.
pub fn validate_create(resource: ResourceRef<'_>, object: &Value) -> FieldErrors {
    let subject = Subject::of(resource);
    let mut errors = create(subject, object);
    if subject.builtin && rules::checks_of(subject.package, subject.kind).is_empty() {
        generic::check(resource.object(), object, &mut errors);
    }
    errors
}

/// Checks a changed object against what it was. `subresource` is the one that was written; for one with a kind of
/// its own (`scale`) the objects are of the resource all the same.
pub fn validate_update(
    resource: ResourceRef<'_>,
    new: &Value,
    old: &Value,
    subresource: Option<&str>,
) -> FieldErrors {
    update(Subject::of(resource), new, old, subresource)
}

/// Checks an object that is written to a subresource of another kind: Scale, Binding, TokenRequest.
pub fn validate_subresource(owner: TypeRef<'_>, object: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    for check in rules::checks_of(&owner.get().package, owner.name()) {
        check(object, &Path::Root, &mut errors);
    }
    errors
}

impl<'a> Subject<'a> {
    fn of(resource: ResourceRef<'a>) -> Self {
        Subject {
            package: &resource.object().get().package,
            plural: &resource.resource.plural,
            kind: &resource.resource.kind,
            namespaced: resource.namespaced,
            kept: resource.has_verb("get"),
            builtin: std::ptr::eq(resource.schema, Schema::builtin()),
        }
    }
}

/// Which kind an object is of, for the rules.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `core/v1`.
    pub package: &'a str,
    pub plural: &'a str,
    pub kind: &'a str,
    pub namespaced: bool,
    /// Reviews and bindings are answered and not kept: they need no name.
    pub kept: bool,
    /// Of the built-in API: the finalizers of custom resources are their own affair.
    pub builtin: bool,
}

/// Checks a new object.
pub fn create(subject: Subject<'_>, object: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let root = Path::Root;
    if subject.kept {
        let rule = rules::of_resource(subject.package, subject.plural)
            .map_or(names::dns1123_subdomain as metadata::NameRule, |rules| rules.name);
        let meta = object.at("metadata").unwrap_or(&Value::Null);
        let path = root.child("metadata");
        metadata::check_metadata(meta, subject.namespaced, rule, &path, &mut errors);
        if subject.builtin {
            metadata::standard_finalizers(meta, &path, &mut errors);
        }
    }
    for check in rules::created_of(subject.package, subject.kind)
        .iter()
        .chain(rules::checks_of(subject.package, subject.kind))
    {
        check(object, &root, &mut errors);
    }
    errors
}

/// Checks a changed object against what it was. `subresource` is the one that was written.
pub fn update(subject: Subject<'_>, new: &Value, old: &Value, subresource: Option<&str>) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let root = Path::Root;
    let (new_meta, old_meta) =
        (new.at("metadata").unwrap_or(&Value::Null), old.at("metadata").unwrap_or(&Value::Null));
    metadata::check_metadata_update(new_meta, old_meta, &root.child("metadata"), &mut errors);
    if matches!(subresource, Some("status" | "approval" | "finalize")) {
        return errors;
    }
    for check in rules::checks_of(subject.package, subject.kind) {
        check(new, &root, &mut errors);
    }
    for frozen in rules::frozen_of(subject.package, subject.kind) {
        match frozen {
            Frozen::Computed(function) => function(new, old, subresource.unwrap_or(""), &mut errors),
            Frozen::Path { path, kind, text } => frozen_path(new, old, path, *kind, text, &mut errors),
        }
    }
    errors
}

fn frozen_path(
    new: &Value,
    old: &Value,
    path: &str,
    kind: FieldErrorKind,
    text: &str,
    errors: &mut FieldErrors,
) {
    if metadata::changed(new.at(path), old.at(path)) {
        let value = new.at(path).cloned().unwrap_or(Value::Null);
        errors.push(FieldError::new(&Path::Root.child(path), kind, value, text));
    }
}
