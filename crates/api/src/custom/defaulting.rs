//! Filling in a schema's defaults.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/schema/defaulting/{algorithm,prune}.go.

use serde_json::Value;

use super::structural::{Additional, Structural};

/// Fills in defaults, and drops nulls where neither null nor a default has a place.
pub fn apply_custom_defaults(schema: &Structural, value: &mut Value) {
    fill(schema, value);
    drop_nulls(schema, value);
}

fn is_wrong_null(schema: &Structural, value: &Value) -> bool {
    value.is_null() && !schema.nullable
}

fn fill(schema: &Structural, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, below) in &schema.properties {
                let Some(default) = &below.default else { continue };
                if fields.get(name).is_none_or(|value| is_wrong_null(below, value)) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(below) = schema.property(name) {
                    fill_one(below, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else { return };
            items.iter_mut().for_each(|item| fill_one(below, item));
        }
        _ => {}
    }
}

fn fill_one(schema: &Structural, value: &mut Value) {
    if let Some(default) = &schema.default
        && is_wrong_null(schema, value)
    {
        *value = default.clone();
    }
    fill(schema, value);
}

fn drop_nulls(schema: &Structural, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields
                .retain(|name, value| schema.property(name).is_none_or(|below| !is_wrong_null(below, value)));
            for (name, value) in fields.iter_mut() {
                if let Some(below) = schema.property(name) {
                    drop_nulls(below, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = &schema.items else { return };
            items.iter_mut().for_each(|item| drop_nulls(below, item));
        }
        _ => {}
    }
}

impl Structural {
    /// Whether anything here or below has a default.
    pub fn has_defaults(&self) -> bool {
        self.default.is_some()
            || self.children().any(Structural::has_defaults)
            || matches!(&self.additional, Additional::Schema(schema) if schema.default.is_some())
    }
}
