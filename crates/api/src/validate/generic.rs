//! For kinds without checks of their own: what their description says is required, or one of some words.

use crate::field_errors::{FieldErrors, Path};
use crate::schema::{Field, Shape, TypeRef};
use serde_json::Value;

/// Checks everything but metadata and status.
pub(super) fn check(owner: TypeRef<'_>, object: &Value, errors: &mut FieldErrors) {
    let own = |field: &&Field| !matches!(&*field.name, "metadata" | "status" | "apiVersion" | "kind");
    for field in owner.json_fields().filter(own) {
        check_field(owner, field, object, &Path::Root, errors);
    }
}

fn check_struct(owner: TypeRef<'_>, object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in owner.json_fields() {
        check_field(owner, field, object, path, errors);
    }
}

fn check_field(owner: TypeRef<'_>, field: &Field, object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child(&field.name);
    let value = object.get(&*field.name).unwrap_or(&Value::Null);
    let is_text = matches!(field.shape, Shape::String | Shape::Enum(_));
    if field.required && is_text && value.as_str().unwrap_or("").is_empty() {
        return errors.required(&path, "");
    }
    check_shape(owner, field.shape, value, &path, errors);
}

fn check_shape(owner: TypeRef<'_>, shape: Shape, value: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    match (shape, value) {
        (Shape::Struct(id), Value::Object(_)) => check_struct(owner.inner(id), value, path, errors),
        (Shape::List(inner), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                check_shape(owner, owner.schema.shape(inner), item, &path.index(index), errors);
            }
        }
        (Shape::Map(inner), Value::Object(items)) => {
            for (key, item) in items {
                check_shape(owner, owner.schema.shape(inner), item, &path.key(key), errors);
            }
        }
        (Shape::Enum(id), Value::String(text)) => {
            let known = &owner.schema.enumeration(id).values;
            if !text.is_empty() && !known.iter().any(|value| value == text) {
                let known: Vec<&str> =
                    known.iter().map(|value| &**value).filter(|value| !value.is_empty()).collect();
                errors.not_supported(path, text.as_str(), &known);
            }
        }
        _ => {}
    }
}
