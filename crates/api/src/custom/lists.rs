//! Lists that are sets or maps hold nothing twice.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/schema/listtype/validation.go.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::structural::Structural;
use crate::field_errors::{FieldErrors, Path};
use crate::schema::ListKind;

/// Checks `value` and everything below it.
pub(super) fn check(schema: &Structural, value: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    match value {
        Value::Array(items) => {
            match &schema.list {
                ListKind::Atomic => {}
                ListKind::Set => unique(items, path, errors, |item| Some(item.clone())),
                ListKind::Map(keys) => unique(items, path, errors, |item| {
                    let fields = item.as_object()?;
                    let key = |name: &str| fields.get(name).map(|value| (name.to_owned(), value.clone()));
                    Some(Value::Object(keys.iter().filter_map(|name| key(name)).collect::<Map<_, _>>()))
                }),
            }
            let Some(below) = &schema.items else { return };
            for (index, item) in items.iter().enumerate() {
                check(below, item, &path.index(index), errors);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(below) = schema.properties.get(name) {
                    check(below, value, &path.child(name), errors);
                } else if let Some(below) = schema.property(name) {
                    check(below, value, &path.key(name), errors);
                }
            }
        }
        _ => {}
    }
}

/// By its text: hashing keeps a long list from taking quadratic time.
fn unique(
    items: &[Value],
    path: &Path<'_>,
    errors: &mut FieldErrors,
    identity: impl Fn(&Value) -> Option<Value>,
) {
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else { continue };
        if !seen.insert(identity.to_string()) {
            errors.duplicate(&path.index(index), identity);
        }
    }
}
