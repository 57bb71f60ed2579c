//! JSON to values: names and types by the schema, unknown and duplicate fields told by their path.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::{DecodeError, Decoded, Validation};
use super::scalar;
use crate::quantity::Quantity;
use crate::schema::{Schema, Shape, ShapeId, TypeId, TypeRef};

/// Reads an object of `owner`. Times, quantities and durations come out in canonical form; null reads as absent.
pub fn decode_json(owner: TypeRef<'_>, bytes: &[u8], validation: Validation) -> Result<Decoded, DecodeError> {
    let context = Context::new(validation);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        Seed::top(owner, &context).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    context.finish(value)
}

/// Reads any JSON value; of its shape nothing is known.
pub fn decode_any(bytes: &[u8], validation: Validation) -> Result<Decoded, DecodeError> {
    let context = Context::new(validation);
    let owner = Schema::builtin().type_ref(TypeId(0));
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { owner, shape: Shape::Json, context: &context }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    context.finish(value)
}

/// The same for a tree that was read before, from YAML say.
pub fn decode_value(
    owner: TypeRef<'_>,
    tree: &Value,
    validation: Validation,
) -> Result<Decoded, DecodeError> {
    let context = Context::new(validation);
    let value = Seed::top(owner, &context).deserialize(tree);
    context.finish(value)
}

/// Problems that upstream tells at most.
const MOST_PROBLEMS: usize = 100;

struct Context {
    validation: Validation,
    path: RefCell<Vec<Step>>,
    problems: RefCell<Vec<String>>,
}

#[derive(Clone)]
enum Step {
    Field(String),
    /// Of a map.
    Key(String),
    Index(usize),
}

impl Context {
    fn new(validation: Validation) -> Self {
        Self { validation, path: RefCell::default(), problems: RefCell::default() }
    }

    fn finish(self, value: Result<Value, serde_json::Error>) -> Result<Decoded, DecodeError> {
        let value = value.map_err(|error| DecodeError::Malformed(told(&error)))?;
        let problems = self.problems.into_inner();
        if self.validation == Validation::Strict && !problems.is_empty() {
            return Err(DecodeError::Strict(problems));
        }
        Ok(Decoded { value, warnings: problems })
    }

    fn problem(&self, what: &str, name: &str) {
        let mut problems = self.problems.borrow_mut();
        if self.validation != Validation::Ignore && problems.len() < MOST_PROBLEMS {
            let message = format!("{what} field \"{}\"", self.path_with(name));
            if !problems.contains(&message) {
                problems.push(message);
            }
        }
    }

    fn path_with(&self, name: &str) -> String {
        let mut text = String::new();
        for step in self.path.borrow().iter() {
            match step {
                Step::Field(name) | Step::Key(name) if text.is_empty() => text.push_str(name),
                Step::Field(name) | Step::Key(name) => text.extend([".", name]),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        if !text.is_empty() && !name.is_empty() {
            text.push('.');
        }
        text + name
    }

    /// The fields that lead here, as Go's decoder counts them: neither indices nor the keys of maps.
    fn go_path(&self) -> String {
        let path = self.path.borrow();
        let fields = path.iter().filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            Step::Key(_) | Step::Index(_) => None,
        });
        fields.collect::<Vec<_>>().join(".")
    }

    fn within<T>(&self, step: Step, work: impl FnOnce() -> T) -> T {
        self.path.borrow_mut().push(step);
        let result = work();
        self.path.borrow_mut().pop();
        result
    }
}

/// Go does not tell where in the text it was.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) if error.is_data() => message.to_owned(),
        _ if error.is_eof() => "unexpected end of JSON input".to_owned(),
        _ => text,
    }
}

/// Reads one value of a shape.
struct Seed<'a> {
    owner: TypeRef<'a>,
    shape: Shape,
    context: &'a Context,
}

impl<'a> Seed<'a> {
    fn top(owner: TypeRef<'a>, context: &'a Context) -> Self {
        Self { owner, shape: Shape::Struct(owner.id), context }
    }

    fn with(&self, shape: Shape) -> Self {
        Self { owner: self.owner, shape, context: self.context }
    }

    fn item(&self, id: ShapeId) -> Self {
        self.with(self.owner.schema.shape(id))
    }

    /// Go's complaint about a JSON value of the wrong type.
    fn mismatch<E: serde::de::Error>(&self, found: &str) -> E {
        let path = self.context.go_path();
        let place = if path.is_empty() {
            "value".to_owned()
        } else {
            format!("struct field {}.{path}", self.owner.name())
        };
        E::custom(format!("json: cannot unmarshal {found} into Go {place} of type {}", self.go_type()))
    }

    fn go_type(&self) -> String {
        let of = |shape: Shape| self.with(shape).go_type();
        match self.shape {
            Shape::Bool => "bool".into(),
            Shape::Int32 => "int32".into(),
            Shape::Int64 => "int64".into(),
            Shape::Float64 => "float64".into(),
            Shape::Bytes => "[]uint8".into(),
            Shape::Enum(id) => {
                format!("{}.{}", self.owner.get().version, self.owner.schema.enumeration(id).name)
            }
            Shape::Struct(id) => {
                let owner = self.owner.inner(id).get();
                format!("{}.{}", owner.version, owner.name)
            }
            Shape::List(id) => format!("[]{}", of(self.owner.schema.shape(id))),
            Shape::Map(id) => format!("map[string]{}", of(self.owner.schema.shape(id))),
            _ => "string".into(),
        }
    }

    /// What a null item of a list or a map reads as: Go's zero value.
    fn zero(&self) -> Value {
        match self.shape {
            Shape::Bool => Value::Bool(false),
            Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => 0.into(),
            Shape::Struct(_) => Value::Object(Map::new()),
            Shape::Json | Shape::Raw | Shape::List(_) | Shape::Map(_) | Shape::Time | Shape::MicroTime => {
                Value::Null
            }
            Shape::Quantity => "0".into(),
            _ => "".into(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        match self.shape {
            Shape::Bool | Shape::Json => Ok(value.into()),
            Shape::Struct(id) if self.owner.inner(id).is_either_or() => Ok(value.into()),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        match self.shape {
            Shape::Int32 | Shape::IntOrString if i32::try_from(value).is_ok() => Ok(value.into()),
            Shape::Int64 | Shape::Float64 | Shape::Json => Ok(value.into()),
            Shape::Quantity => quantity(&value.to_string()),
            _ => Err(self.mismatch(&match self.shape {
                Shape::Int32 => format!("number {value}"),
                _ => "number".into(),
            })),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match self.shape {
            Shape::Float64 | Shape::Json => Ok(value.into()),
            Shape::Quantity => quantity(&value.to_string()),
            // Go reads no integer from `1.0` either.
            Shape::Int32 | Shape::Int64 => Err(self.mismatch(&format!("number {value:?}"))),
            _ => Err(self.mismatch("number")),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Value, E> {
        match self.shape {
            Shape::String | Shape::Enum(_) | Shape::IntOrString | Shape::Json => Ok(text.into()),
            Shape::Quantity => quantity(text.trim()),
            Shape::Time => Ok(scalar::time(scalar::parse_time(&text).map_err(E::custom)?).into()),
            Shape::MicroTime => Ok(scalar::micro_time(scalar::parse_time(&text).map_err(E::custom)?).into()),
            Shape::Duration => scalar::parse_duration(&text)
                .map(|nanos| scalar::duration(nanos).into())
                .ok_or_else(|| E::custom(format!("time: invalid duration {text:?}"))),
            Shape::Bytes => scalar::decode_base64(&text)
                .map(|bytes| scalar::encode_base64(&bytes).into())
                .ok_or_else(|| E::custom("illegal base64 data at input byte 0")),
            _ => Err(self.mismatch("string")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let shape = match self.shape {
            Shape::List(id) => self.owner.schema.shape(id),
            Shape::Json => Shape::Json,
            Shape::Struct(id) => match list_branch(self.owner.inner(id)) {
                Some(shape) => shape,
                None => return Err(self.mismatch("array")),
            },
            _ => return Err(self.mismatch("array")),
        };
        let mut list = Vec::new();
        loop {
            let step = Step::Index(list.len());
            match self.context.within(step, || items.next_element_seed(self.with(shape)))? {
                None => return Ok(Value::Array(list)),
                Some(Value::Null) => list.push(self.with(shape).zero()),
                Some(item) => list.push(item),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        match self.shape {
            Shape::Struct(id) => match object_branch(self.owner.inner(id)) {
                Some(branch) => self.with(branch).visit_map(entries),
                None => self.object(self.owner.inner(id), entries),
            },
            Shape::Map(id) => self.map(self.item(id).shape, entries),
            Shape::Raw | Shape::FieldsV1 | Shape::Json => self.map(Shape::Json, entries),
            _ => Err(self.mismatch("object")),
        }
    }
}

impl Seed<'_> {
    fn object<'de, A: MapAccess<'de>>(&self, owner: TypeRef<'_>, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Some(field) = owner.field(&name) else {
                self.context.problem("unknown", &name);
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(&name) {
                self.context.problem("duplicate", &name);
            }
            let seed = Seed { owner, shape: field.shape, context: self.context };
            let value = self.context.within(Step::Field(name.clone()), || entries.next_value_seed(seed))?;
            match value {
                Value::Null if field.shape != Shape::Json => object.remove(&name),
                value => object.insert(name.clone(), value),
            };
            seen.push(name);
        }
        Ok(Value::Object(object))
    }

    fn map<'de, A: MapAccess<'de>>(&self, shape: Shape, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let seed = self.with(shape);
            let mut value = self.context.within(Step::Key(name.clone()), || entries.next_value_seed(seed))?;
            if map.contains_key(&name) {
                self.context.problem("duplicate", &name);
            }
            if value.is_null() {
                value = self.with(shape).zero();
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// The item shape of an either-or type that may be a list.
fn list_branch(owner: TypeRef<'_>) -> Option<Shape> {
    if !owner.is_either_or() {
        return None;
    }
    owner.get().fields.iter().find_map(|field| match field.shape {
        Shape::List(id) => Some(owner.schema.shape(id)),
        _ => None,
    })
}

/// The struct of an either-or type that may be an object.
fn object_branch(owner: TypeRef<'_>) -> Option<Shape> {
    if !owner.is_either_or() {
        return None;
    }
    owner.get().fields.iter().map(|field| field.shape).find(|shape| matches!(shape, Shape::Struct(_)))
}

fn quantity<E: serde::de::Error>(text: &str) -> Result<Value, E> {
    text.parse::<Quantity>().map(|quantity| quantity.to_string().into()).map_err(E::custom)
}
