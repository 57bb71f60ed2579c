//! Small reads and writes on objects as values.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// A text in the metadata; empty if absent.
pub fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or("")
}

pub fn name(object: &Value) -> &str {
    meta(object, "name")
}

pub fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

/// The metadata, made if absent.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("made an object just now")
}

/// Sets, or removes when there is nothing to say.
pub fn set_meta(object: &mut Value, field: &str, value: Option<Value>) {
    let metadata = metadata_mut(object);
    match value {
        Some(value) if !value.is_null() => {
            metadata.insert(field.into(), value);
        }
        _ => {
            metadata.remove(field);
        }
    }
}

pub fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(|f| f.as_str()).map(str::to_string).collect()
}

pub fn set_finalizers(object: &mut Value, finalizers: Vec<String>) {
    let value = (!finalizers.is_empty()).then(|| json!(finalizers));
    set_meta(object, "finalizers", value);
}

pub fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Makes `fields` of `into` what they are in `from`, also absent.
pub fn carry_over(into: &mut Value, from: &Value, fields: &[&str]) {
    let Some(into) = into.as_object_mut() else { return };
    for field in fields {
        match from.get(*field) {
            Some(value) => {
                into.insert((*field).into(), value.clone());
            }
            None => {
                into.remove(*field);
            }
        }
    }
}

/// Removes the nulls that indexing left behind, one level deep.
pub fn prune_null(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
}

/// A `Time`: whole seconds.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads a `Time`; none if it is absent or broken, which no caller tells apart.
pub fn parse_time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}
