//! What happens to an object before it is written, whatever its kind: metadata that is the server's, status that is
//! a subresource's, generation.
//!
//! Upstream: apiserver/pkg/registry/rest/{create,update}.go.

use serde_json::{Value, json};
use stdx::Random;

use super::Storage;
use crate::object;
use crate::strategy::Writer;
use crate::strategy::traits::Generation;

/// Longest name that generateName's letters are appended to; with them it is 63.
const GENERATED_BASE: usize = 58;
const GENERATED_LETTERS: usize = 5;

/// Which part of an object a write is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Everything but the status.
    Main,
    Status,
    /// `ephemeralcontainers`, `resize`, `finalize`, `approval` …
    Other(&'a str),
}

impl<'a> Part<'a> {
    pub fn of(subresource: &'a str) -> Self {
        match subresource {
            "" => Self::Main,
            "status" => Self::Status,
            other => Self::Other(other),
        }
    }
}

/// A name from generateName, if there is no name yet.
pub fn generate_name(object: &mut Value, random: &Random) {
    let base = object::meta(object, "generateName");
    if base.is_empty() || !object::name(object).is_empty() {
        return;
    }
    let mut end = base.len().min(GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let name = format!("{}{}", &base[..end], random.alphanumeric(GENERATED_LETTERS));
    object::set_meta(object, "name", Some(json!(name)));
}

/// Fills in what is the server's and drops what is not the client's.
pub fn create(storage: &Storage, object: &mut Value, writer: Writer<'_>, random: &Random) {
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        object::set_meta(object, field, None);
    }
    object::set_meta(object, "uid", Some(json!(random.uuid())));
    object::set_meta(object, "creationTimestamp", Some(json!(object::time(writer.now))));
    let counted = storage.traits.generation != Generation::None;
    object::set_meta(object, "generation", counted.then(|| json!(1)));
    if storage.has_status && !storage.traits.status_on_create {
        drop_status(object);
    }
    storage.strategy.prepare_create(object, writer);
}

fn drop_status(object: &mut Value) {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
}

/// Makes of what the client sent what is to be stored, given what is stored.
pub fn update(storage: &Storage, part: Part<'_>, object: &mut Value, old: &Value) -> bool {
    let known = match part {
        Part::Main => {
            if storage.has_status {
                object::carry_over(object, old, &["status"]);
            }
            storage.strategy.prepare_update(object, old);
            true
        }
        Part::Status => {
            take_status(object, old);
            if storage.codec.as_custom().is_some() {
                keep_metadata(object, old);
            }
            storage.strategy.prepare_status(object, old);
            true
        }
        Part::Other(subresource) => storage.strategy.prepare_subresource(subresource, object, old),
    };
    server_metadata(storage, object, old);
    known
}

/// Only status and metadata count; the rest stays.
fn take_status(object: &mut Value, old: &Value) {
    let (Some(fields), Some(before)) = (object.as_object_mut(), old.as_object()) else { return };
    fields.retain(|field, _| matches!(field.as_str(), "status" | "metadata" | "kind" | "apiVersion"));
    for (field, value) in before {
        if !fields.contains_key(field) && field != "status" {
            fields.insert(field.clone(), value.clone());
        }
    }
}

/// A status write of a custom object leaves its metadata alone.
fn keep_metadata(object: &mut Value, old: &Value) {
    let mut metadata = old["metadata"].clone();
    for field in ["managedFields", "resourceVersion", "uid"] {
        let sent = object["metadata"].get(field).cloned().unwrap_or(Value::Null);
        if !sent.is_null() {
            metadata[field] = sent;
        }
    }
    object["metadata"] = metadata;
}

fn server_metadata(storage: &Storage, object: &mut Value, old: &Value) {
    let fields = [
        "name",
        "namespace",
        "generateName",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ];
    object::metadata_mut(object);
    object::carry_over(&mut object["metadata"], &old["metadata"], &fields);
    if spec_changed(storage, object, old) {
        raise_generation(object);
    }
}

/// One more, for kinds that count.
pub fn raise_generation(object: &mut Value) {
    if let Some(generation) = object["metadata"]["generation"].as_i64()
        && generation > 0
    {
        object["metadata"]["generation"] = json!(generation + 1);
    }
}

/// Empty and absent are the same here: what would be written the same has not changed.
fn spec_changed(storage: &Storage, object: &Value, old: &Value) -> bool {
    let (new, old) = match storage.traits.generation {
        Generation::None => return false,
        Generation::Spec => (json!({"spec": object["spec"]}), json!({"spec": old["spec"]})),
        Generation::Content => {
            let apart = ["metadata", "status", "kind", "apiVersion"];
            (without(object, &apart), without(old, &apart))
        }
        Generation::Everything => {
            let apart = ["metadata", "kind", "apiVersion"];
            (without(object, &apart), without(old, &apart))
        }
    };
    new != old && storage.codec.encode_json(&new) != storage.codec.encode_json(&old)
}

fn without(object: &Value, apart: &[&str]) -> Value {
    let mut content = object.clone();
    if let Some(fields) = content.as_object_mut() {
        fields.retain(|field, _| !apart.contains(&field.as_str()));
    }
    content
}
