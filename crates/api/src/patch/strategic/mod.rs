//! Strategic merge patch: lists merge by their merge key, directives say otherwise.
//!
//! Upstream: apimachinery/pkg/util/strategicpatch. A list's items are told apart by the one `patchMergeKey`, also where
//! server-side apply has several keys (ports).

mod lists;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::{PatchError, go_text};
use crate::schema::{Field, Shape, TypeRef};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

type Object = Map<String, Value>;

/// Applies `patch` to an object of `owner`.
pub fn strategic(owner: TypeRef<'_>, object: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let patch: Value = serde_json::from_slice(patch)
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed("error decoding patch: the patch is not an object".into()));
    };
    let Value::Object(current) = object.take() else {
        return Err(unprocessable("the object is not a JSON object"));
    };
    *object = Value::Object(merge_objects(Some(owner), current, patch)?);
    Ok(())
}

fn unprocessable(message: impl Into<String>) -> PatchError {
    PatchError::Unprocessable(message.into())
}

fn malformed(message: &str) -> PatchError {
    PatchError::Malformed(message.into())
}

/// `owner` is none inside maps and free-form objects.
fn merge_objects(
    owner: Option<TypeRef<'_>>,
    mut current: Object,
    mut patch: Object,
) -> Result<Object, PatchError> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str()) {
        None => {}
        Some(Some("replace")) => return Ok(without_directives(patch)),
        Some(Some("delete")) => return Ok(Object::new()),
        Some(_) => return Err(bad_directive(patch)),
    }
    retain_keys(&mut current, &mut patch)?;
    lists::in_given_order(owner, &mut current, &mut patch)?;
    for (name, value) in patch {
        if let Some(name) = name.strip_prefix(DELETE_FROM) {
            lists::delete_from(&mut current, name, &value)?;
        } else if value.is_null() {
            current.remove(&name);
        } else {
            let field = owner.and_then(|owner| owner.field(&name));
            let merged = merge_values(owner, field, current.remove(&name), value)?;
            current.insert(name, merged);
        }
    }
    Ok(current)
}

fn bad_directive(patch: Object) -> PatchError {
    let directive = patch.get(DIRECTIVE).map(go_text).unwrap_or_default();
    unprocessable(format!("unknown patch type: {directive} in map: {}", go_text(&Value::Object(patch))))
}

/// `$retainKeys`: of what stands there, only the listed fields stay; the patch may set no others.
fn retain_keys(current: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let keys = match patch.remove(RETAIN_KEYS) {
        None => return Ok(()),
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(malformed("invalid patch format of retainKeys")),
    };
    let is_kept = |name: &str| keys.iter().any(|key| key.as_str() == Some(name));
    let is_set = |(name, value): (&String, &Value)| {
        !value.is_null() && !name.starts_with(DELETE_FROM) && !name.starts_with(SET_ORDER)
    };
    if patch.iter().any(|entry| is_set(entry) && !is_kept(entry.0)) {
        return Err(unprocessable("patch content doesn't match retainKeys list"));
    }
    current.retain(|name, _| is_kept(name));
    Ok(())
}

/// What stays of a patch that stands for itself: nulls and directives say nothing any more.
fn without_directives(patch: Object) -> Object {
    patch
        .into_iter()
        .filter(|(name, value)| !is_directive(name) && !value.is_null())
        .map(|(name, value)| (name, clean(value)))
        .collect()
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER)
}

fn clean(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(items) => {
            Value::Array(items.into_iter().filter(|item| item.get(DIRECTIVE).is_none()).map(clean).collect())
        }
        value => value,
    }
}

fn merge_values(
    owner: Option<TypeRef<'_>>,
    field: Option<&Field>,
    current: Option<Value>,
    patch: Value,
) -> Result<Value, PatchError> {
    let strategy = |name: &str| field.is_some_and(|field| field.patch_strategy.iter().any(|own| own == name));
    let inner = owner.zip(field).and_then(|(owner, field)| inner_type(owner, field.shape));
    match (current, patch) {
        (Some(Value::Object(current)), Value::Object(patch)) if !strategy("replace") => {
            merge_objects(inner, current, patch).map(Value::Object)
        }
        (None, Value::Object(patch)) => merge_objects(inner, Object::new(), patch).map(Value::Object),
        (current, Value::Array(patch)) if strategy("merge") => {
            let current = match current {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let key = field.map_or("", |field| &field.merge_key);
            lists::merge(inner, key, current, patch).map(Value::Array)
        }
        (_, patch) => Ok(clean(patch)),
    }
}

/// The type of a struct field, or of the items of a list field. Maps of structs do not merge by schema.
fn inner_type<'a>(owner: TypeRef<'a>, shape: Shape) -> Option<TypeRef<'a>> {
    match shape {
        Shape::Struct(id) => Some(owner.inner(id)),
        Shape::List(id) => match owner.schema.shape(id) {
            Shape::Struct(id) => Some(owner.inner(id)),
            _ => None,
        },
        _ => None,
    }
}
