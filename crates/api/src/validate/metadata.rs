//! Metadata: names, labels, annotations, owners, finalizers; and what of it an update may change.
//!
//! Upstream: apimachinery/pkg/api/validation/objectmeta.go.

use super::names::{self, Messages};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::{Map, Value};

/// Checks a name; the flag says that it is a prefix, which may end in a dash.
pub type NameRule = fn(&str) -> Messages;

const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

/// Checks the metadata of a new object. `rule` is the one of its kind's names.
pub fn check_metadata(
    meta: &Value,
    namespaced: bool,
    rule: NameRule,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    check_names(meta, rule, path, errors);
    check_namespace(meta, namespaced, path, errors);
    check_shared(meta, path, errors);
}

fn check_names(meta: &Value, rule: NameRule, path: &Path<'_>, errors: &mut FieldErrors) {
    let prefix = meta.text("generateName");
    if !prefix.is_empty() {
        // what follows the dash will be letters
        let masked = match prefix.strip_suffix('-') {
            Some(rest) if !rest.is_empty() => {
                format!("{}a", &rest[..rest.len() - rest.chars().last().map_or(0, char::len_utf8)])
            }
            _ => prefix.to_owned(),
        };
        invalid_each(&path.child("generateName"), prefix, rule(&masked), errors);
    }
    match meta.text("name") {
        "" => errors.required(&path.child("name"), "name or generateName is required"),
        name => invalid_each(&path.child("name"), name, rule(name), errors),
    }
}

fn check_namespace(meta: &Value, namespaced: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("namespace");
    match (namespaced, meta.text("namespace")) {
        (true, "") => errors.required(&path, ""),
        (true, namespace) => invalid_each(&path, namespace, names::dns1123_label(namespace), errors),
        (false, "") => {}
        (false, _) => errors.forbidden(&path, "not allowed on this type"),
    }
}

/// What holds on create and on update alike.
pub(crate) fn check_shared(meta: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    nonnegative(meta, "generation", path, errors);
    labels(meta.map("labels"), &path.child("labels"), errors);
    annotations(meta.map("annotations"), &path.child("annotations"), errors);
    owners(meta.items("ownerReferences"), &path.child("ownerReferences"), errors);
    finalizers(meta.items("finalizers"), &path.child("finalizers"), errors);
}

/// Labels of objects, node selectors, match labels.
pub fn labels(map: &Map<String, Value>, path: &Path<'_>, errors: &mut FieldErrors) {
    for (key, value) in map {
        invalid_each(path, key, names::qualified_name(key), errors);
        let value = value.as_str().unwrap_or("");
        invalid_each(path, value, names::label_value(value), errors);
    }
}

pub fn annotations(map: &Map<String, Value>, path: &Path<'_>, errors: &mut FieldErrors) {
    let mut size = 0;
    for (key, value) in map {
        invalid_each(path, key, names::qualified_name(&key.to_lowercase()), errors);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATION_BYTES {
        errors.too_long(path, MAX_ANNOTATION_BYTES);
    }
}

fn owners(list: &[Value], path: &Path<'_>, errors: &mut FieldErrors) {
    let mut controller: Option<&Value> = None;
    for owner in list {
        let version = owner.text("apiVersion");
        if version.is_empty() || version.ends_with('/') {
            errors.invalid(&path.child("apiVersion"), version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if owner.text(field).is_empty() {
                errors.invalid(&path.child(field), "", format!("{field} must not be empty"));
            }
        }
        if owner.text("kind") == "Event" && version == "v1" {
            errors.invalid(path, owner.clone(), "/v1, Kind=Event is disallowed from being an owner");
        }
        if !owner.flag("controller") {
            continue;
        }
        if let Some(first) = controller {
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                first.text("name"),
                owner.text("name")
            );
            errors.invalid(path, Value::Array(list.to_vec()), detail);
        }
        controller = controller.or(Some(owner));
    }
}

fn finalizers(list: &[Value], path: &Path<'_>, errors: &mut FieldErrors) {
    let has = |name: &str| list.iter().any(|finalizer| finalizer == name);
    for finalizer in list.iter().filter_map(Value::as_str) {
        invalid_each(path, finalizer, names::qualified_name(finalizer), errors);
    }
    if has("orphan") && has("foregroundDeletion") {
        errors.invalid(
            path,
            Value::Array(list.to_vec()),
            "finalizer orphan and foregroundDeletion cannot be both set",
        );
    }
}

/// Finalizers without a domain, of which only three are known.
pub fn standard_finalizers(meta: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("finalizers");
    for (index, finalizer) in meta.items("finalizers").iter().filter_map(Value::as_str).enumerate() {
        let known =
            finalizer.contains('/') || matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion");
        if !known {
            errors.invalid(
                &path.index(index),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            );
        }
    }
}

/// Checks new metadata against old.
pub fn check_metadata_update(new: &Value, old: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if old.has("deletionTimestamp") {
        no_new_finalizers(new, old, path, errors);
    }
    if new.int("generation") < old.int("generation") {
        errors.invalid(&path.child("generation"), new.int("generation"), "must not be decremented");
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        immutable(new, old, field, path, errors);
    }
    check_shared(new, path, errors);
}

fn no_new_finalizers(new: &Value, old: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let known = old.items("finalizers");
    let mut extra: Vec<&str> = new
        .items("finalizers")
        .iter()
        .filter(|name| !known.contains(name))
        .filter_map(Value::as_str)
        .collect();
    extra.sort_unstable();
    if !extra.is_empty() {
        let quoted: Vec<String> = extra.iter().map(|name| format!("{name:?}")).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            quoted.join(", ")
        );
        errors.forbidden(&path.child("finalizers"), detail);
    }
}

/// An error per message.
pub fn invalid_each(path: &Path<'_>, value: &str, messages: Messages, errors: &mut FieldErrors) {
    for message in messages {
        errors.invalid(path, value, message);
    }
}

pub const NEGATIVE: &str = "must be greater than or equal to 0";

pub fn nonnegative(object: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    if let Some(value) = object.int_at(field)
        && value < 0
    {
        errors.invalid(&path.child(field), value, NEGATIVE);
    }
}

/// `field is immutable`. Absent, null and empty are the same.
pub fn immutable(new: &Value, old: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    if changed(new.at(field), old.at(field)) {
        errors.invalid(
            &path.child(field),
            new.at(field).cloned().unwrap_or(Value::Null),
            "field is immutable",
        );
    }
}

/// Whether two values differ in meaning: what is absent, null, empty or zero is the same, at any depth, since the
/// ways in which an object arrives (JSON, protobuf, a patch) write nothing differently.
pub fn changed(new: Option<&Value>, old: Option<&Value>) -> bool {
    match (new.filter(|value| !is_empty(value)), old.filter(|value| !is_empty(value))) {
        (None, None) => false,
        (Some(Value::Object(new)), Some(Value::Object(old))) => maps_differ(new, old),
        (Some(Value::Array(new)), Some(Value::Array(old))) => {
            new.len() != old.len() || new.iter().zip(old).any(|(new, old)| changed(Some(new), Some(old)))
        }
        (new, old) => new != old,
    }
}

fn maps_differ(new: &Map<String, Value>, old: &Map<String, Value>) -> bool {
    new.keys().chain(old.keys()).any(|key| changed(new.get(key), old.get(key)))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
    }
}
