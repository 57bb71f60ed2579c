//! Checks that many kinds share: numbers, enums, references, ports.

use super::metadata::invalid_each;
use super::names::{self, Messages};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;
use std::collections::HashSet;

/// `Required value` unless the text is there.
pub fn required(object: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) -> bool {
    let there = !object.text(field).is_empty();
    if !there {
        errors.required(&path.child(field), "");
    }
    there
}

/// One of a list of words. Absent is `Required value`.
pub fn one_of(object: &Value, field: &str, allowed: &[&str], path: &Path<'_>, errors: &mut FieldErrors) {
    match object.text(field) {
        "" => errors.required(&path.child(field), ""),
        _ => optional_one_of(object, field, allowed, path, errors),
    }
}

/// One of a list of words, if anything.
pub fn optional_one_of(
    object: &Value,
    field: &str,
    allowed: &[&str],
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let value = object.text(field);
    if !value.is_empty() && !allowed.contains(&value) {
        errors.not_supported(&path.child(field), value, allowed);
    }
}

/// A text that a rule checks, if it is there.
pub fn optional(
    object: &Value,
    field: &str,
    rule: fn(&str) -> Messages,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let value = object.text(field);
    if !value.is_empty() {
        invalid_each(&path.child(field), value, rule(value), errors);
    }
}

/// A text that must be there and that a rule checks.
pub fn named(
    object: &Value,
    field: &str,
    rule: fn(&str) -> Messages,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) -> bool {
    let there = required(object, field, path, errors);
    if there {
        optional(object, field, rule, path, errors);
    }
    there
}

/// A number that a rule checks, if it is there.
pub fn number(
    object: &Value,
    field: &str,
    rule: fn(i64) -> Messages,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let Some(value) = object.int_at(field) else { return };
    for message in rule(value) {
        errors.invalid(&path.child(field), value, message);
    }
}

/// A port by number or by name.
pub fn port_or_name(object: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child(field);
    match object.at(field) {
        Some(Value::String(name)) => invalid_each(&path, name, names::port_name(name), errors),
        Some(value) => {
            for message in names::port_number(value.as_i64().unwrap_or(0)) {
                errors.invalid(&path, value.clone(), message);
            }
        }
        None => errors.invalid(&path, 0, "must be between 1 and 65535, inclusive"),
    }
}

/// Tells repeated values as `Duplicate value`.
#[derive(Default)]
pub struct Unique<'a>(HashSet<&'a str>);

impl<'a> Unique<'a> {
    pub fn check(&mut self, value: &'a str, path: &Path<'_>, errors: &mut FieldErrors) {
        if !self.0.insert(value) {
            errors.duplicate(path, value);
        }
    }
}

/// A whole number or a percentage, neither negative.
pub fn int_or_percent(object: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child(field);
    match object.at(field) {
        Some(Value::String(text)) => invalid_each(&path, text, names::percent(text), errors),
        Some(value) if value.as_i64().unwrap_or(0) < 0 => {
            errors.invalid(&path, value.clone(), super::metadata::NEGATIVE)
        }
        _ => {}
    }
}

/// Whether an IntOrString is none at all: 0 or 0%.
pub fn is_zero(object: &Value, field: &str) -> bool {
    match object.at(field) {
        Some(Value::String(text)) => text.trim_end_matches('%').chars().all(|digit| digit == '0'),
        Some(value) => value.as_i64() == Some(0),
        None => true,
    }
}

/// More than everything cannot be unavailable.
pub fn at_most_all(object: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(text) = object.at(field).and_then(Value::as_str) else { return };
    let above =
        text.strip_suffix('%').is_some_and(|number| number.parse::<u64>().is_ok_and(|percent| percent > 100));
    if above {
        errors.invalid(&path.child(field), text, "must not be greater than 100%");
    }
}

/// A path inside a volume: relative, and never upwards.
pub fn local_path(value: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    if value.starts_with('/') {
        errors.invalid(path, value, "must be a relative path");
    }
    if value.split('/').any(|part| part == "..") {
        errors.invalid(path, value, "must not contain '..'");
    }
}

/// As [`local_path`], and it may not start with `..` at all.
pub fn local_file(value: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    local_path(value, path, errors);
    if value.starts_with("..") && value != ".." && !value.starts_with("../") {
        errors.invalid(path, value, "must not start with '..'");
    }
}
