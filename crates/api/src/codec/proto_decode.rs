//! Protobuf to values, in the same form that JSON decodes to: pointers keep zeros, other zeros are left out.

use serde_json::{Map, Value};

use super::error::{DecodeError, MOST_DEPTH};
use super::proto_encode::MAGIC;
use super::scalar;
use super::wire::{Payload, Reader};
use crate::schema::{Field, Presence, Shape, TypeRef};

/// What an envelope says of itself: apiVersion and kind.
pub fn protobuf_kind(bytes: &[u8]) -> Result<(&str, &str), DecodeError> {
    let mut found = ("", "");
    let mut envelope = Reader::new(bytes.strip_prefix(MAGIC).ok_or(DecodeError::NotProtobuf)?);
    while let Some((number, payload)) = envelope.field()? {
        let (1, Payload::Bytes(meta)) = (number, payload) else { continue };
        let mut meta = Reader::new(meta);
        while let Some((number, payload)) = meta.field()? {
            match number {
                1 => found.0 = text(payload)?,
                2 => found.1 = text(payload)?,
                _ => {}
            }
        }
    }
    Ok(found)
}

/// The message inside an envelope.
pub fn protobuf_raw(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut envelope = Reader::new(bytes.strip_prefix(MAGIC).ok_or(DecodeError::NotProtobuf)?);
    let mut raw: &[u8] = &[];
    while let Some((number, payload)) = envelope.field()? {
        if let (2, Payload::Bytes(bytes)) = (number, payload) {
            raw = bytes;
        }
    }
    Ok(raw)
}

/// An object in its envelope; apiVersion and kind come from there.
pub fn decode_protobuf(owner: TypeRef<'_>, bytes: &[u8]) -> Result<Value, DecodeError> {
    let (api_version, kind) = protobuf_kind(bytes)?;
    let mut value = decode_protobuf_message(owner, protobuf_raw(bytes)?)?;
    if let (Value::Object(map), true) = (&mut value, owner.is_kind()) {
        for (name, text) in [("apiVersion", api_version), ("kind", kind)] {
            if !text.is_empty() {
                map.insert(name.into(), text.into());
            }
        }
    }
    Ok(value)
}

/// A bare message.
pub fn decode_protobuf_message(owner: TypeRef<'_>, bytes: &[u8]) -> Result<Value, DecodeError> {
    nested(owner, bytes, Depth(0))
}

/// How deep a message lies in others. Types may hold themselves (JSONSchemaProps), so that a sender could nest them
/// until the stack ends; JSON stops at the same depth.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn deeper(self) -> Result<Self, DecodeError> {
        if self.0 >= MOST_DEPTH {
            return Err(DecodeError::Protobuf("message is nested too deeply"));
        }
        Ok(Self(self.0 + 1))
    }
}

fn nested(owner: TypeRef<'_>, bytes: &[u8], depth: Depth) -> Result<Value, DecodeError> {
    let depth = depth.deeper()?;
    if owner.is_either_or() {
        return either_or(owner, bytes, depth);
    }
    let mut map = Map::new();
    decode_into(&mut map, owner, bytes, depth)?;
    Ok(Value::Object(map))
}

fn decode_into(
    map: &mut Map<String, Value>,
    owner: TypeRef<'_>,
    bytes: &[u8],
    depth: Depth,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        // A field that we do not know is a newer server's: passed over, as protobuf has it.
        let Some(field) = owner.proto_field(number) else { continue };
        match field.shape {
            Shape::Struct(id) if field.inline => decode_into(map, owner.inner(id), message(payload)?, depth)?,
            Shape::List(id) => {
                let item = value(owner, owner.schema.shape(id), payload, depth)?;
                if let Value::Array(items) =
                    map.entry(&*field.name).or_insert_with(|| Value::Array(Vec::new()))
                {
                    items.push(item);
                }
            }
            Shape::Map(id) => {
                let (name, item) = entry(owner, owner.schema.shape(id), message(payload)?, depth)?;
                if let Value::Object(entries) =
                    map.entry(&*field.name).or_insert_with(|| Value::Object(Map::new()))
                {
                    entries.insert(name, item);
                }
            }
            shape => {
                let decoded = value(owner, shape, payload, depth)?;
                if is_kept(field, &decoded) {
                    map.insert(field.name.to_string(), decoded);
                }
            }
        }
    }
    Ok(())
}

/// Zero means absent where JSON would leave it out; what a pointer points at is kept.
fn is_kept(field: &Field, value: &Value) -> bool {
    if field.pointer {
        return !value.is_null() || field.shape == Shape::Json;
    }
    match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty() || field.shape == Shape::Json,
        _ if field.presence == Presence::Always => true,
        Value::Bool(value) => *value,
        Value::Number(number) => field.shape == Shape::IntOrString || number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) => true,
    }
}

fn entry(
    owner: TypeRef<'_>,
    shape: Shape,
    bytes: &[u8],
    depth: Depth,
) -> Result<(String, Value), DecodeError> {
    let (mut name, mut found) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        match number {
            1 => name = text(payload)?.to_owned(),
            2 => found = Some(value(owner, shape, payload, depth)?),
            _ => {}
        }
    }
    let zero = || match shape {
        Shape::String | Shape::Enum(_) | Shape::Bytes => "".into(),
        _ => Value::Object(Map::new()),
    };
    Ok((name, found.unwrap_or_else(zero)))
}

fn value(owner: TypeRef<'_>, shape: Shape, payload: Payload<'_>, depth: Depth) -> Result<Value, DecodeError> {
    Ok(match shape {
        Shape::Bool => (int(payload)? != 0).into(),
        Shape::Int32 => (int(payload)? as i32).into(),
        Shape::Int64 => int(payload)?.into(),
        Shape::Float64 => match payload {
            Payload::Fixed64(bits) => float(f64::from_bits(bits)),
            _ => return Err(DecodeError::Protobuf("wrong wireType")),
        },
        Shape::String | Shape::Enum(_) => text(payload)?.into(),
        Shape::Bytes => scalar::encode_base64(message(payload)?).into(),
        Shape::Struct(id) => nested(owner.inner(id), message(payload)?, depth)?,
        Shape::List(id) => list(owner, owner.schema.shape(id), message(payload)?, depth)?,
        _ => special(shape, message(payload)?)?,
    })
}

/// A list that is a map's value: a message with the items as field 1.
fn list(owner: TypeRef<'_>, item: Shape, bytes: &[u8], depth: Depth) -> Result<Value, DecodeError> {
    let (mut items, mut reader) = (Vec::new(), Reader::new(bytes));
    while let Some((number, payload)) = reader.field()? {
        if number == 1 {
            items.push(value(owner, item, payload, depth)?);
        }
    }
    Ok(Value::Array(items))
}

/// A float that is whole reads as an integer, as JSON would have it.
fn float(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { (value as i64).into() } else { value.into() }
}

fn special(shape: Shape, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut ints = [0i64; 4];
    let mut raw: Option<&[u8]> = None;
    let mut reader = Reader::new(bytes);
    let empty = bytes.is_empty();
    while let Some((number, payload)) = reader.field()? {
        match payload {
            Payload::Int(value) if number < 4 => ints[number as usize] = value as i64,
            Payload::Bytes(bytes) => raw = Some(bytes),
            _ => {}
        }
    }
    let text = || {
        raw.map_or(Ok(""), |raw| std::str::from_utf8(raw).map_err(|_| DecodeError::Protobuf("invalid UTF-8")))
    };
    Ok(match shape {
        Shape::Quantity => text()?.into(),
        Shape::IntOrString if ints[1] == 0 => ints[2].into(),
        Shape::IntOrString => text()?.into(),
        Shape::Time | Shape::MicroTime if empty => Value::Null,
        Shape::Time | Shape::MicroTime => {
            let at = jiff::Timestamp::new(ints[1], ints[2] as i32)
                .map_err(|_| DecodeError::Protobuf("time out of range"))?;
            if shape == Shape::Time { scalar::time(at).into() } else { scalar::micro_time(at).into() }
        }
        Shape::Duration => scalar::duration(ints[1]).into(),
        _ => match raw {
            None => Value::Null,
            Some(raw) => serde_json::from_slice(raw)
                .map_err(|_| DecodeError::Protobuf("embedded JSON is malformed"))?,
        },
    })
}

fn either_or(owner: TypeRef<'_>, bytes: &[u8], depth: Depth) -> Result<Value, DecodeError> {
    let mut found = Value::Null;
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        let Some(field) = owner.proto_field(number) else { continue };
        match field.shape {
            Shape::List(id) => {
                let item = value(owner, owner.schema.shape(id), payload, depth)?;
                match &mut found {
                    Value::Array(items) => items.push(item),
                    _ => found = Value::Array(vec![item]),
                }
            }
            // The bool stands beside an object that says more.
            Shape::Bool if found.is_object() => {}
            shape => found = value(owner, shape, payload, depth)?,
        }
    }
    Ok(found)
}

fn int(payload: Payload<'_>) -> Result<i64, DecodeError> {
    match payload {
        Payload::Int(value) => Ok(value as i64),
        _ => Err(DecodeError::Protobuf("wrong wireType")),
    }
}

fn message(payload: Payload<'_>) -> Result<&[u8], DecodeError> {
    match payload {
        Payload::Bytes(bytes) => Ok(bytes),
        _ => Err(DecodeError::Protobuf("wrong wireType")),
    }
}

fn text(payload: Payload<'_>) -> Result<&str, DecodeError> {
    std::str::from_utf8(message(payload)?).map_err(|_| DecodeError::Protobuf("invalid UTF-8"))
}
