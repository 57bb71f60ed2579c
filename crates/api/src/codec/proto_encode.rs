//! Values to protobuf, as upstream's generated code writes it: fields that are no pointers are always there, zero too.

use serde_json::{Map, Value};

use super::scalar;
use super::wire::{FIXED64, put_bytes, put_int, put_key, put_message};
use crate::schema::{Field, Shape, TypeRef};

/// What every stored or sent object begins with.
pub(super) const MAGIC: &[u8] = b"k8s\0";

/// An object in upstream's envelope: magic, apiVersion, kind, message.
pub fn encode_protobuf(owner: TypeRef<'_>, value: &Value) -> Vec<u8> {
    let described = owner.get();
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let api_version = text("apiVersion").map_or_else(|| described.api_version(), str::to_owned);
    let kind = text("kind").unwrap_or(&described.name).to_owned();
    envelope(&api_version, &kind, &encode_protobuf_message(owner, value))
}

/// The object's message alone.
pub fn encode_protobuf_message(owner: TypeRef<'_>, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    message(&mut out, owner, value);
    out
}

/// Puts a message into the envelope.
pub fn envelope(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    out.extend_from_slice(MAGIC);
    put_message(&mut out, 1, |out| {
        put_bytes(out, 1, api_version.as_bytes());
        put_bytes(out, 2, kind.as_bytes());
    });
    put_bytes(&mut out, 2, message);
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, b"");
    out
}

/// Appends one object's message to a list's message: `items` is field 2 of every list.
pub fn put_list_item(out: &mut Vec<u8>, message: &[u8]) {
    put_bytes(out, 2, message);
}

fn message(out: &mut Vec<u8>, owner: TypeRef<'_>, value: &Value) {
    if owner.is_either_or() {
        return either_or(out, owner, value);
    }
    let empty = Map::new();
    let map = value.as_object().unwrap_or(&empty);
    for field in owner.proto_fields() {
        if field.inline {
            // Inlined in JSON, a message of its own here.
            put_message(out, field.number, |out| shaped(out, owner, field.shape, value));
        } else {
            let value = map.get(&*field.name).filter(|value| !value.is_null() || field.shape == Shape::Json);
            encode_field(out, owner, field, value);
        }
    }
}

/// The branches of an either-or type are pointers or plain; the plain ones are written always.
fn either_or(out: &mut Vec<u8>, owner: TypeRef<'_>, value: &Value) {
    for field in owner.get().fields.iter() {
        let is_this = match field.shape {
            Shape::Struct(_) => value.is_object(),
            Shape::List(_) => value.is_array(),
            Shape::Bool => true,
            _ => false,
        };
        if !is_this {
            continue;
        }
        match field.shape {
            // An object in place of a bool means that more is allowed: true.
            Shape::Bool => {
                put_int(out, field.number, i64::from(value.as_bool().unwrap_or(value.is_object())))
            }
            _ => encode_field(out, owner, field, Some(value)),
        }
    }
}

fn encode_field(out: &mut Vec<u8>, owner: TypeRef<'_>, field: &Field, value: Option<&Value>) {
    let number = field.number;
    match (field.shape, value) {
        (Shape::List(id), Some(Value::Array(items))) => {
            let item = owner.schema.shape(id);
            items.iter().for_each(|value| encode_value(out, owner, number, item, value));
        }
        (Shape::Map(id), Some(Value::Object(map))) => {
            let item = owner.schema.shape(id);
            for (name, value) in map {
                put_message(out, number, |out| {
                    put_bytes(out, 1, name.as_bytes());
                    encode_value(out, owner, 2, item, value);
                });
            }
        }
        (Shape::List(_) | Shape::Map(_), _) => {}
        (shape, Some(value)) => encode_value(out, owner, number, shape, value),
        (_, None) if field.pointer => {}
        (Shape::Bytes, None) => {}
        (shape, None) => encode_value(out, owner, number, shape, &Value::Null),
    }
}

fn encode_value(out: &mut Vec<u8>, owner: TypeRef<'_>, number: u32, shape: Shape, value: &Value) {
    let int = || value.as_i64().unwrap_or(0);
    let text = || value.as_str().unwrap_or_default();
    match shape {
        Shape::Bool => put_int(out, number, i64::from(value.as_bool().unwrap_or(false))),
        Shape::Int32 | Shape::Int64 => put_int(out, number, int()),
        Shape::Float64 => {
            put_key(out, number, FIXED64);
            out.extend_from_slice(&value.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Shape::String | Shape::Enum(_) => put_bytes(out, number, text().as_bytes()),
        Shape::Bytes => {
            // Decoding made sure that it is base64.
            put_bytes(out, number, &scalar::decode_base64(text()).unwrap_or_default());
        }
        _ => put_message(out, number, |out| shaped(out, owner, shape, value)),
    }
}

/// The message of a shape that is one.
fn shaped(out: &mut Vec<u8>, owner: TypeRef<'_>, shape: Shape, value: &Value) {
    let text = value.as_str().unwrap_or_default();
    match shape {
        Shape::Struct(id) => message(out, owner.inner(id), value),
        Shape::Quantity => put_bytes(out, 1, if text.is_empty() { b"0" } else { text.as_bytes() }),
        Shape::IntOrString => {
            put_int(out, 1, i64::from(value.is_string()));
            put_int(out, 2, value.as_i64().unwrap_or(0));
            put_bytes(out, 3, text.as_bytes());
        }
        Shape::Time | Shape::MicroTime => {
            // The zero time is an empty message.
            if let Ok(at) = scalar::parse_time(text) {
                let nanos = at.as_nanosecond();
                let sub = nanos.rem_euclid(1_000_000_000) as i64;
                put_int(out, 1, nanos.div_euclid(1_000_000_000) as i64);
                put_int(out, 2, if shape == Shape::Time { 0 } else { sub });
            }
        }
        Shape::Duration => put_int(out, 1, scalar::parse_duration(text).unwrap_or(0)),
        Shape::Raw | Shape::FieldsV1 | Shape::Json => {
            if !value.is_null() || shape == Shape::Json {
                put_bytes(out, 1, &plain(shape, value));
            }
        }
        // A list as a map's value is a message of its own, with the items as field 1.
        Shape::List(id) => {
            let item = owner.schema.shape(id);
            value.as_array().into_iter().flatten().for_each(|value| encode_value(out, owner, 1, item, value));
        }
        _ => debug_assert!(false, "scalars and maps are no messages"),
    }
}

fn plain(shape: Shape, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match shape {
        Shape::FieldsV1 => crate::apply::write_fields(&mut out, value),
        _ => out.extend_from_slice(value.to_string().as_bytes()),
    }
    out
}
