//! Strategic merge patch: lists merge by their merge key, directives say otherwise.
//!
//! Upstream: apimachinery/pkg/util/strategicpatch.

use serde_json::{Map, Value};

use super::PatchError;
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

/// `owner` is none inside maps and free-form objects.
fn merge_objects(
    owner: Option<TypeRef<'_>>,
    mut current: Object,
    mut patch: Object,
) -> Result<Object, PatchError> {
    match patch.remove(DIRECTIVE) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => return Ok(without_directives(patch)),
        Some(Value::String(directive)) if directive == "delete" => return Ok(Object::new()),
        Some(Value::String(directive)) if directive == "merge" => {}
        Some(other) => return Err(bad_directive(&other)),
    }
    if let Some(Value::Array(keys)) = patch.remove(RETAIN_KEYS) {
        current.retain(|name, _| keys.iter().any(|key| key.as_str() == Some(name)));
    }
    let names: Vec<String> = patch.keys().cloned().collect();
    for name in names {
        if name.starts_with(DELETE_FROM) || name.starts_with(SET_ORDER) {
            continue;
        }
        let Some(value) = patch.remove(&name) else { continue };
        if value.is_null() {
            current.remove(&name);
            continue;
        }
        let field = owner.and_then(|owner| owner.field(&name));
        let merged = merge_values(owner, field, current.remove(&name), value)?;
        current.insert(name, merged);
    }
    list_directives(owner, &mut current, patch)?;
    Ok(current)
}

fn bad_directive(found: &Value) -> PatchError {
    unprocessable(format!("unknown patch type {found} found in map"))
}

/// What stays of a patch that stands for itself: nulls and directives say nothing any more.
fn without_directives(patch: Object) -> Object {
    patch
        .into_iter()
        .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
        .map(|(name, value)| (name, clean(value)))
        .collect()
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
    match (current, patch) {
        (Some(Value::Object(current)), Value::Object(patch)) if !strategy("replace") => {
            let inner = owner.zip(field).and_then(|(owner, field)| inner_type(owner, field.shape));
            merge_objects(inner, current, patch).map(Value::Object)
        }
        (None, Value::Object(patch)) => {
            let inner = owner.zip(field).and_then(|(owner, field)| inner_type(owner, field.shape));
            merge_objects(inner, Object::new(), patch).map(Value::Object)
        }
        (current, Value::Array(patch)) if strategy("merge") => {
            let current = match current {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            let (owner, field) = owner.zip(field).expect("a strategy comes from a field");
            merge_lists(owner, field, current, patch).map(Value::Array)
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

fn merge_lists(
    owner: TypeRef<'_>,
    field: &Field,
    current: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Vec<Value>, PatchError> {
    match inner_type(owner, field.shape) {
        Some(item) if !field.merge_key.is_empty() => merge_keyed(item, &field.merge_key, current, patch),
        _ => Ok(union(current, patch)),
    }
}

/// A list of plain values: what is new comes at the end.
fn union(mut current: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    for value in patch {
        if !current.contains(&value) {
            current.push(value);
        }
    }
    current
}

fn merge_keyed(
    item: TypeRef<'_>,
    key: &str,
    mut current: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Vec<Value>, PatchError> {
    if patch.iter().any(|value| directive(value) == Some("replace")) {
        return Ok(patch.into_iter().filter(|value| directive(value).is_none()).map(clean).collect());
    }
    let (deletions, merges): (Vec<_>, Vec<_>) =
        patch.into_iter().partition(|value| directive(value) == Some("delete"));
    for deletion in deletions {
        let name = key_of(&deletion, key)?;
        current.retain(|value| value.get(key) != Some(&name));
    }
    for mut value in merges {
        if let Some(found) = directive(&value).filter(|found| *found != "merge") {
            return Err(bad_directive(&found.into()));
        }
        let name = key_of(&value, key)?;
        let Value::Object(patch) = value.take() else { continue };
        match current.iter_mut().find(|value| value.get(key) == Some(&name)) {
            Some(slot) => {
                let Value::Object(old) = slot.take() else { continue };
                *slot = Value::Object(merge_objects(Some(item), old, patch)?);
            }
            None => current.push(Value::Object(merge_objects(Some(item), Object::new(), patch)?)),
        }
    }
    Ok(current)
}

fn directive(value: &Value) -> Option<&str> {
    value.get(DIRECTIVE)?.as_str()
}

fn key_of(value: &Value, key: &str) -> Result<Value, PatchError> {
    value
        .get(key)
        .cloned()
        .ok_or_else(|| unprocessable(format!("map: {value} does not contain declared merge key: {key}")))
}

/// `$deleteFromPrimitiveList/x` and `$setElementOrder/x`, after everything has merged.
fn list_directives(
    owner: Option<TypeRef<'_>>,
    current: &mut Object,
    patch: Object,
) -> Result<(), PatchError> {
    for (name, value) in patch {
        let Value::Array(values) = value else { return Err(unprocessable(format!("{name} is not a list"))) };
        if let Some(name) = name.strip_prefix(DELETE_FROM) {
            if let Some(Value::Array(items)) = current.get_mut(name) {
                items.retain(|item| !values.contains(item));
            }
        } else if let Some(name) = name.strip_prefix(SET_ORDER) {
            let key = owner
                .and_then(|owner| owner.field(name))
                .map(|field| field.merge_key.to_string())
                .unwrap_or_default();
            if let Some(Value::Array(items)) = current.get_mut(name) {
                order(items, &values, &key);
            }
        }
    }
    Ok(())
}

/// Listed items come in the order of the list; the others keep their place behind the item that they stood behind.
fn order(items: &mut Vec<Value>, order: &[Value], key: &str) {
    let place = |item: &Value| {
        order
            .iter()
            .position(|listed| if key.is_empty() { listed == item } else { listed.get(key) == item.get(key) })
    };
    let mut ranked: Vec<(usize, usize, Value)> = Vec::new();
    let mut last = 0;
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        match place(&item) {
            Some(place) => {
                last = place + 1;
                ranked.push((last, 0, item));
            }
            None => ranked.push((last, index + 1, item)),
        }
    }
    ranked.sort_by_key(|(place, index, _)| (*place, *index));
    items.extend(ranked.into_iter().map(|(_, _, item)| item));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    fn check(object: Value, patch: &Value, expected: &Value) {
        let pod = Schema::builtin().kind("", "v1", "Pod").expect("described");
        let mut object = object;
        strategic(pod, &mut object, patch.to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{patch}: {error}"));
        assert_eq!(&object, expected, "{patch}");
    }

    fn pod() -> Value {
        json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x", "y"]},
            "spec": {"containers": [{"name": "one", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]}, {"name": "two", "image": "i"}]}})
    }

    #[test]
    fn lists_merge_by_their_key() {
        let mut expected = pod();
        expected["spec"]["containers"][0]["image"] = "new".into();
        check(pod(), &json!({"spec": {"containers": [{"name": "one", "image": "new"}]}}), &expected);
        let mut expected = pod();
        expected["spec"]["containers"].as_array_mut().expect("a list").remove(0);
        check(pod(), &json!({"spec": {"containers": [{"name": "one", "$patch": "delete"}]}}), &expected);
    }

    #[test]
    fn directives() {
        check(
            json!({"spec": {"nodeName": "a", "hostname": "b"}}),
            &json!({"spec": {"$retainKeys": ["nodeName"], "nodeName": "c"}}),
            &json!({"spec": {"nodeName": "c"}}),
        );
        check(
            json!({"metadata": {"labels": {"a": "1"}}}),
            &json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}}),
            &json!({"metadata": {"labels": {"b": "2"}}}),
        );
        check(
            json!({"metadata": {"finalizers": ["x", "y"]}}),
            &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}),
            &json!({"metadata": {"finalizers": ["y"]}}),
        );
        check(
            json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
            &json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}], "containers": [{"name": "c"}]}}),
            &json!({"spec": {"containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}}),
        );
    }

    #[test]
    fn a_missing_merge_key_is_refused() {
        let pod_type = Schema::builtin().kind("", "v1", "Pod").expect("described");
        let error = strategic(pod_type, &mut pod(), br#"{"spec":{"containers":[{"image":"x"}]}}"#);
        assert_eq!(
            error,
            Err(PatchError::Unprocessable(
                r#"map: {"image":"x"} does not contain declared merge key: name"#.into()
            ))
        );
    }
}
