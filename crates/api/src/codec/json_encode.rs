//! Values to JSON: upstream's field order, omissions and escapes.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::schema::{Field, Presence, Schema, Shape, TypeId, TypeRef};

/// Writes an object of `owner` as upstream's server does.
pub fn encode_json(owner: TypeRef<'_>, value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    Writer { owner, out: &mut out }.value(Shape::Struct(owner.id), value);
    out
}

/// Writes any value with upstream's escapes, keys sorted.
pub fn encode_json_any(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let owner = Schema::builtin().type_ref(TypeId(0));
    Writer { owner, out: &mut out }.plain(value);
    out
}

struct Writer<'a> {
    owner: TypeRef<'a>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn value(&mut self, shape: Shape, value: &Value) {
        match (shape, value) {
            (Shape::Struct(id), Value::Object(map)) if !self.owner.inner(id).is_either_or() => {
                self.object(self.owner.inner(id), map);
            }
            (Shape::Struct(id), value) if self.owner.inner(id).is_either_or() => {
                self.branch(self.owner.inner(id), value)
            }
            (Shape::List(id), Value::Array(items)) => {
                let item = self.owner.schema.shape(id);
                self.list(items, |writer, value| writer.value(item, value));
            }
            (Shape::Map(id), Value::Object(map)) => {
                let item = self.owner.schema.shape(id);
                self.map(map, |writer, value| writer.value(item, value));
            }
            (Shape::FieldsV1, value) => crate::apply::write_fields(self.out, value),
            (Shape::Float64, Value::Number(number)) => float(self.out, number.as_f64().unwrap_or(0.0)),
            (_, value) => self.plain(value),
        }
    }

    /// A value without a schema: keys sorted, as Go writes maps.
    fn plain(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(true) => self.out.extend_from_slice(b"true"),
            Value::Bool(false) => self.out.extend_from_slice(b"false"),
            Value::Number(number) => match number.as_f64() {
                Some(value) if number.is_f64() => float(self.out, value),
                _ => self.out.extend_from_slice(number.to_string().as_bytes()),
            },
            Value::String(text) => write_json_string(self.out, text),
            Value::Array(items) => self.list(items, Self::plain),
            Value::Object(map) => self.map(map, Self::plain),
        }
    }

    fn branch(&mut self, owner: TypeRef<'_>, value: &Value) {
        let wanted = |shape: &Shape| match value {
            Value::Object(_) => matches!(shape, Shape::Struct(_)),
            Value::Array(_) => matches!(shape, Shape::List(_)),
            _ => false,
        };
        match owner.get().fields.iter().map(|field| field.shape).find(wanted) {
            Some(shape) => self.value(shape, value),
            None => self.plain(value),
        }
    }

    fn list(&mut self, items: &[Value], mut write: impl FnMut(&mut Self, &Value)) {
        self.out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write(self, item);
        }
        self.out.push(b']');
    }

    fn map(&mut self, map: &Map<String, Value>, mut write: impl FnMut(&mut Self, &Value)) {
        self.out.push(b'{');
        for (index, (name, value)) in map.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_json_string(self.out, name);
            self.out.push(b':');
            write(self, value);
        }
        self.out.push(b'}');
    }

    fn object(&mut self, owner: TypeRef<'_>, map: &Map<String, Value>) {
        self.out.push(b'{');
        let start = self.out.len();
        for field in owner.json_fields() {
            let value = map.get(&*field.name).filter(|value| !value.is_null() || field.shape == Shape::Json);
            match written(field, value) {
                Written::Left => continue,
                Written::Zero => {
                    self.name(field, start);
                    self.out.extend_from_slice(zero(field));
                    if matches!(field.shape, Shape::Struct(_)) && !field.pointer {
                        self.empty_struct(field.shape);
                    }
                }
                Written::Value(value) => {
                    self.name(field, start);
                    self.value(field.shape, value);
                }
            }
        }
        self.out.push(b'}');
    }

    fn name(&mut self, field: &Field, start: usize) {
        if self.out.len() > start {
            self.out.push(b',');
        }
        write_json_string(self.out, &field.name);
        self.out.push(b':');
    }

    /// A struct that is not there but always written, with what its own fields always write.
    fn empty_struct(&mut self, shape: Shape) {
        self.value(shape, &Value::Object(Map::new()));
    }
}

enum Written<'a> {
    Left,
    Zero,
    Value(&'a Value),
}

/// Go's rules: a pointer is left out when nil, anything else when zero; but required fields, and structs and times
/// that are no pointers, are always there.
fn written<'a>(field: &Field, value: Option<&'a Value>) -> Written<'a> {
    match value {
        Some(value) if field.pointer || field.presence == Presence::Always => Written::Value(value),
        Some(value) if !is_zero(field.shape, value) => Written::Value(value),
        _ if field.presence == Presence::Always => Written::Zero,
        _ if field.pointer || field.presence == Presence::OmitZero => Written::Left,
        _ if matches!(
            field.shape,
            Shape::Struct(_)
                | Shape::Time
                | Shape::MicroTime
                | Shape::Quantity
                | Shape::IntOrString
                | Shape::Duration
        ) =>
        {
            Written::Zero
        }
        Some(value) if matches!(field.shape, Shape::Json | Shape::Raw) && !value.is_null() => {
            Written::Value(value)
        }
        None if field.shape == Shape::Raw => Written::Zero,
        _ => Written::Left,
    }
}

/// The value that stands in the JSON of an object for `field`, given what its tree has; none if it is left out.
pub(crate) fn as_written<'a>(field: &Field, value: Option<&'a Value>) -> Option<&'a Value> {
    let value = value.filter(|value| !value.is_null() || field.shape == Shape::Json);
    match written(field, value) {
        Written::Left => None,
        Written::Value(value) => Some(value),
        Written::Zero => Some(zero_value(field)),
    }
}

/// What [`zero`] writes, as a value.
fn zero_value(field: &Field) -> &'static Value {
    static TEXTS: LazyLock<[Value; 4]> = LazyLock::new(|| [json!(0), json!("0"), json!("0s"), json!({})]);
    static EMPTY: Value = Value::String(String::new());
    let [number, quantity, duration, object] = &*TEXTS;
    match field.shape {
        _ if field.pointer => &Value::Null,
        Shape::Bool => &Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => number,
        Shape::String | Shape::Enum(_) => &EMPTY,
        Shape::Quantity => quantity,
        Shape::Duration => duration,
        Shape::Struct(_) => object,
        _ => &Value::Null,
    }
}

fn is_zero(shape: Shape, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => shape != Shape::IntOrString && number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && !matches!(shape, Shape::Struct(_)),
    }
}

/// What is written for a field that is not there; a struct writes itself.
fn zero(field: &Field) -> &'static [u8] {
    if field.pointer {
        return b"null";
    }
    match field.shape {
        Shape::Bool => b"false",
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => b"0",
        Shape::String | Shape::Enum(_) => b"\"\"",
        Shape::Quantity => b"\"0\"",
        Shape::Duration => b"\"0s\"",
        Shape::Struct(_) => b"",
        _ => b"null",
    }
}

/// Go's shortest form: an exponent below 1e-6 and from 1e21 on.
fn float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    let text = if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        // Go writes e-07 as e-7 in JSON, and e+21 with its sign.
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    } else {
        format!("{value}")
    };
    out.extend_from_slice(text.as_bytes());
}

/// Escapes as Go's encoder does: HTML's letters and the two line separators too.
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x08 => b"\\b",
            0x0c => b"\\f",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0xe2 if bytes[index..].starts_with("\u{2028}".as_bytes()) => b"\\u2028",
            0xe2 if bytes[index..].starts_with("\u{2029}".as_bytes()) => b"\\u2029",
            0..0x20 => {
                out.extend_from_slice(&bytes[start..index]);
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                start = index + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[start..index]);
        out.extend_from_slice(escape);
        start = index + if *byte == 0xe2 { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}
