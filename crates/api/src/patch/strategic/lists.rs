//! Lists of a strategic merge patch: by key or by value, and in which order.
//!
//! What the patch lists comes in the patch's order. What only the object has keeps its own order and goes before the
//! first listed item that stood behind it; so a new item comes before all the others.

use serde_json::Value;

use super::{
    DELETE_FROM, DIRECTIVE, Object, PatchError, SET_ORDER, bad_directive, clean, go_text, inner_type,
    malformed, merge_objects, unprocessable,
};
use crate::schema::TypeRef;

/// `item` is the type of the items, none where they are plain values.
pub(super) fn merge(
    item: Option<TypeRef<'_>>,
    key: &str,
    current: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Vec<Value>, PatchError> {
    let Some(item) = item else { return Ok(union(current, patch)) };
    if key.is_empty() {
        return Err(unprocessable(format!("cannot merge lists without merge key for {}", item.name())));
    }
    merge_keyed(item, key, current, patch)
}

/// Plain values, each once.
fn union(current: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::with_capacity(current.len() + patch.len());
    for value in current.iter().chain(&patch) {
        if !merged.contains(value) {
            merged.push(value.clone());
        }
    }
    ordered(merged, &patch, &current, "")
}

fn merge_keyed(
    item: TypeRef<'_>,
    key: &str,
    mut current: Vec<Value>,
    patch: Vec<Value>,
) -> Result<Vec<Value>, PatchError> {
    let (directives, patch): (Vec<_>, Vec<_>) =
        patch.into_iter().partition(|value| value.get(DIRECTIVE).is_some());
    let mut replaces = false;
    for directive in directives {
        match directive[DIRECTIVE].as_str() {
            Some("delete") => {
                let name = key_of(&directive, key)?;
                current.retain(|value| value.get(key) != Some(name));
            }
            Some("replace") => replaces = true,
            Some("merge") => return Err(unprocessable("merging lists cannot yet be specified in the patch")),
            _ => return Err(bad_directive(directive.as_object().cloned().unwrap_or_default())),
        }
    }
    if replaces {
        return Ok(patch.into_iter().map(clean).collect());
    }
    let mut merged = current.clone();
    for value in &patch {
        merge_item(item, key, &mut merged, value)?;
    }
    Ok(ordered(merged, &patch, &current, key))
}

fn merge_item(
    item: TypeRef<'_>,
    key: &str,
    merged: &mut Vec<Value>,
    value: &Value,
) -> Result<(), PatchError> {
    let name = key_of(value, key)?;
    let Value::Object(patch) = value else { return Err(no_key(value, key)) };
    let slot = merged.iter_mut().find(|value| value.get(key) == Some(name));
    let old = match slot.as_deref() {
        Some(Value::Object(old)) => old.clone(),
        _ => Object::new(),
    };
    let new = Value::Object(merge_objects(Some(item), old, patch.clone())?);
    match slot {
        Some(slot) => *slot = new,
        None => merged.push(new),
    }
    Ok(())
}

fn key_of<'a>(value: &'a Value, key: &str) -> Result<&'a Value, PatchError> {
    value.get(key).ok_or_else(|| no_key(value, key))
}

fn no_key(value: &Value, key: &str) -> PatchError {
    unprocessable(format!("map: {} does not contain declared merge key: {key}", go_text(value)))
}

/// `$deleteFromPrimitiveList/x`.
pub(super) fn delete_from(current: &mut Object, name: &str, values: &Value) -> Result<(), PatchError> {
    let Value::Array(values) = values else {
        return Err(malformed("invalid patch format of primitive list"));
    };
    if let Some(Value::Array(items)) = current.get_mut(name) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

/// `$setElementOrder/x`: merges the lists that have one, and takes them out of the patch.
pub(super) fn in_given_order(
    owner: Option<TypeRef<'_>>,
    current: &mut Object,
    patch: &mut Object,
) -> Result<(), PatchError> {
    let names: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in names {
        let name = &directive[SET_ORDER.len()..];
        let Some(Value::Array(order)) = patch.remove(&directive) else {
            return Err(malformed("invalid patch format of setElementOrder list"));
        };
        let field = owner.and_then(|owner| owner.field(name));
        let key = field.map_or("", |field| &field.merge_key);
        let live = items(current.get(name).cloned());
        let merged = match patch.remove(name) {
            Some(Value::Array(changes)) => {
                fits_order(&changes, &order, key, &directive)?;
                let item = owner.zip(field).and_then(|(owner, field)| inner_type(owner, field.shape));
                Some(merge(item, key, live.clone(), changes)?)
            }
            Some(other) => {
                // No list: it replaces what stands there, as it would without an order.
                patch.insert(name.to_owned(), other);
                None
            }
            None => current.contains_key(name).then(|| live.clone()),
        };
        let deleted = patch.get(&format!("{DELETE_FROM}{name}"));
        if let Some(merged) = merged {
            let gone =
                |item: &Value| deleted.and_then(Value::as_array).is_some_and(|gone| gone.contains(item));
            let kept = merged.into_iter().filter(|item| !gone(item)).collect();
            current.insert(name.to_owned(), Value::Array(ordered(kept, &order, &live, key)));
        }
    }
    Ok(())
}

fn items(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The patch's items stand in the order's sequence, and each is in it.
fn fits_order(changes: &[Value], order: &[Value], key: &str, directive: &str) -> Result<(), PatchError> {
    let mut rest = order.iter();
    let relevant = changes.iter().filter(|item| item.get(DIRECTIVE).is_none());
    for item in relevant {
        if !rest.any(|listed| is_same(listed, item, key)) {
            return Err(unprocessable(format!(
                "The order in patch list:\n{}\n doesn't match {directive} list:\n{}\n",
                go_text(&Value::Array(changes.to_vec())),
                go_text(&Value::Array(order.to_vec()))
            )));
        }
    }
    Ok(())
}

fn is_same(a: &Value, b: &Value, key: &str) -> bool {
    if key.is_empty() { a == b } else { a.get(key).is_some() && a.get(key) == b.get(key) }
}

/// Puts `merged` into order: see the top of this file.
fn ordered(merged: Vec<Value>, order: &[Value], live: &[Value], key: &str) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|listed| is_same(listed, item, key));
    let (mut listed, mut others) = (Vec::new(), Vec::new());
    for item in merged {
        let was = place(live, &item);
        match place(order, &item) {
            Some(at) => listed.push((at, was, item)),
            None => others.push((was, item)),
        }
    }
    listed.sort_by_key(|(at, ..)| *at);
    others.sort_by_key(|(was, _)| *was);
    let mut others = others.into_iter().peekable();
    let mut out = Vec::with_capacity(listed.len() + others.len());
    for (_, behind, item) in listed {
        while let Some((_, other)) = others.next_if(|(was, _)| was.zip(behind).is_some_and(|(a, b)| a < b)) {
            out.push(other);
        }
        out.push(item);
    }
    out.extend(others.map(|(_, other)| other));
    out
}
