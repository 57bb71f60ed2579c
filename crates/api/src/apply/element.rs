//! One step of a path into an object: a field, an item by its keys, an item by its value, an item by its place.
//!
//! Upstream: structured-merge-diff, fieldpath/{element,serialize-pe}.go.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use crate::codec::write_json_string;

/// A step of a path. Ordered as upstream orders them, which is the order of `fieldsV1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    Field(Box<str>),
    /// The fields that tell list items apart, by name.
    Key(Vec<(Box<str>, Scalar)>),
    /// An item of a set.
    Value(Scalar),
    Index(i64),
}

/// A value that has an order. Numbers compare as numbers, before strings, before all else.
#[derive(Clone, Debug)]
pub struct Scalar(pub Value);

impl Scalar {
    fn rank(&self) -> u8 {
        match &self.0 {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)), // every number is a float
            },
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => {
                self.0.to_string().cmp(&other.0.to_string())
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl PathElement {
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// `f:name`, `k:{"name":"a"}`, `v:"a"`, `i:0`.
    pub fn encoded(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let mut out = b"k:{".to_vec();
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_json_string(&mut out, name);
                    out.push(b':');
                    write_scalar(&mut out, &value.0);
                }
                out.push(b'}');
                String::from_utf8_lossy(&out).into_owned()
            }
            Self::Value(value) => {
                let mut out = b"v:".to_vec();
                write_scalar(&mut out, &value.0);
                String::from_utf8_lossy(&out).into_owned()
            }
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// None for what no step is written as.
    pub fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::field(rest)),
            "k" => {
                let fields: Map<String, Value> = parse(rest)?;
                // serde_json's maps are sorted, as keys have to be.
                Some(Self::Key(
                    fields.into_iter().map(|(name, value)| (name.into(), Scalar(value))).collect(),
                ))
            }
            "v" => Some(Self::Value(Scalar(parse(rest)?))),
            "i" => Some(Self::Index(rest.parse().ok()?)), // not a number: not a step
            _ => None,
        }
    }
}

/// None for what is no JSON, which the caller tells in its own words.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn write_scalar(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => write_json_string(out, text),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

/// As conflicts name it: `.name`, `[name="a",port=80]`, `[="a"]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_str("[")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={}", value.0)?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={}]", value.0),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}
