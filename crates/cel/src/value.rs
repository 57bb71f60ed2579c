//! What expressions are about and come to.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use api::Quantity;
use jiff::Timestamp;
use serde_json::Value as Json;

use crate::types::Type;

/// Why an evaluation came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error("{0}")]
    Failed(String),
    #[error("operation cancelled: actual cost limit exceeded")]
    OverBudget,
}

/// An object that answers method calls: an authorizer. Asked during an evaluation, so it must not wait long.
pub trait Host: Send + Sync + fmt::Debug {
    /// # Errors
    /// A text that says why not.
    fn call<'a>(&self, method: &str, args: &[Value<'a>]) -> Result<Value<'a>, String>;
}

/// A value. JSON is looked at where it lies.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    List(Arc<[Value<'a>]>),
    Map(Arc<[(Value<'a>, Value<'a>)]>),
    /// A JSON list or object, of a declared type.
    Data(&'a Json, &'a Type),
    Optional(Option<Arc<Value<'a>>>),
    Type(String),
    Quantity(Quantity),
    /// The text, and where its parts are.
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Semver(Arc<Semver>),
    Format(&'static str),
    Host(Arc<dyn Host>),
}

#[derive(Debug, PartialEq, Eq, Default)]
pub struct Url {
    pub scheme: String,
    pub host: String,
    pub path: String,
    pub query: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Semver {
    pub numbers: [u64; 3],
    pub pre: String,
}

pub(crate) static DYN: Type = Type::Dyn;

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl<'a> Value<'a> {
    /// JSON as a value of its declared type.
    pub fn of(json: &'a Json, kind: &'a Type) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => match (kind, number.as_i64()) {
                (Type::Double, _) | (_, None) => Self::Double(number.as_f64().unwrap_or(0.0)),
                (_, Some(int)) => Self::Int(int),
            },
            Json::String(text) => Self::of_text(text, kind),
            Json::Array(_) | Json::Object(_) => Self::Data(json, kind),
        }
    }

    fn of_text(text: &str, kind: &Type) -> Self {
        let parsed = match kind {
            Type::Timestamp => text.parse().ok().map(Self::Timestamp),
            Type::Duration => crate::functions::parse_duration(text).map(Self::Duration),
            Type::Bytes => {
                use base64::Engine;
                let decoded = base64::engine::general_purpose::STANDARD.decode(text);
                decoded.ok().map(|bytes| Self::Bytes(bytes.into()))
            }
            _ => None,
        };
        // What has not its format stays a text: validation tells of it.
        parsed.unwrap_or_else(|| Self::text(text))
    }

    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    pub fn list(items: Vec<Self>) -> Self {
        Self::List(items.into())
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) | Self::Data(Json::Array(_), _) => "list",
            Self::Map(_) | Self::Data(..) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Host(_) => "kubernetes.authorization.Authorizer",
        }
    }

    /// Its items, if it is a list.
    pub fn items(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::List(items) => Some(items.to_vec()),
            Self::Data(Json::Array(items), kind) => {
                let of = item_type(kind);
                Some(items.iter().map(|item| Value::of(item, of)).collect())
            }
            _ => None,
        }
    }

    /// Its keys and values, if it is a map.
    pub fn entries(&self) -> Option<Vec<(Value<'a>, Value<'a>)>> {
        match self {
            Self::Map(entries) => Some(entries.to_vec()),
            Self::Data(Json::Object(fields), kind) => {
                let entry = |(name, value): (&'a String, &'a Json)| {
                    let shown = shown_name(name, kind);
                    (Value::text(&shown), Value::of(value, field_type(kind, &shown)))
                };
                Some(fields.iter().map(entry).collect())
            }
            _ => None,
        }
    }

    /// Items, entries or characters.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            Self::Bytes(bytes) => Some(bytes.len()),
            Self::List(items) => Some(items.len()),
            Self::Map(entries) => Some(entries.len()),
            Self::Data(Json::Array(items), _) => Some(items.len()),
            Self::Data(Json::Object(fields), _) => Some(fields.len()),
            _ => None,
        }
    }

    /// A field or an entry.
    pub fn get(&self, key: &Value<'a>) -> Option<Value<'a>> {
        match self {
            Self::Map(entries) => {
                entries.iter().find(|(own, _)| own.is_same(key)).map(|(_, value)| value.clone())
            }
            Self::Data(Json::Object(fields), kind) => {
                let name = key.as_text()?;
                let stored = match kind {
                    Type::Object(object) => object.fields.get(name).map_or(name, |(stored, _)| stored),
                    _ => name,
                };
                fields.get(stored).map(|value| Value::of(value, field_type(kind, name)))
            }
            _ => None,
        }
    }

    /// CEL's equality: numbers by what they are worth, everything else by type and contents.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a.partial_cmp(b) == Some(Ordering::Equal),
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a, n), Self::Cidr(b, m)) => a == b && n == m,
            (Self::Semver(a), Self::Semver(b)) => a == b,
            (Self::Format(a), Self::Format(b)) => a == b,
            (Self::Optional(a), Self::Optional(b)) => match (a, b) {
                (None, None) => true,
                (Some(a), Some(b)) => a.is_same(b),
                _ => false,
            },
            (Self::Data(a, k), Self::Data(b, l)) if std::ptr::eq(*a, *b) && std::ptr::eq(*k, *l) => true,
            _ => self.same_number(other) || self.same_collection(other),
        }
    }

    fn same_number(&self, other: &Self) -> bool {
        self.compare_numbers(other) == Some(Ordering::Equal)
    }

    fn same_collection(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (self.items(), other.items()) {
            return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.is_same(b));
        }
        if let (Some(a), Some(_)) = (self.entries(), other.entries()) {
            return self.size() == other.size()
                && a.iter().all(|(key, value)| other.get(key).is_some_and(|other| value.is_same(&other)));
        }
        false
    }

    pub fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Self::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Int(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Double(a), Self::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Uint(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Double(a), Self::Uint(b)) => a.partial_cmp(&(*b as f64)),
            _ => None,
        }
    }

    /// The order of values of one type.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            (Self::Quantity(a), Self::Quantity(b)) => a.partial_cmp(b),
            (Self::Semver(a), Self::Semver(b)) => Some(crate::libraries::compare_semver(a, b)),
            _ => self.compare_numbers(other),
        }
    }

    /// As JSON; none for what JSON cannot hold. Mutations read it.
    pub fn to_json(&self) -> Option<Json> {
        Some(match self {
            Self::Null | Self::Optional(None) => Json::Null,
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Int(int) => Json::from(*int),
            Self::Uint(uint) => Json::from(*uint),
            Self::Double(double) => Json::from(*double),
            Self::Text(text) => Json::from(&**text),
            Self::Data(json, _) => (*json).clone(),
            Self::Optional(Some(inner)) => inner.to_json()?,
            Self::List(items) => Json::Array(items.iter().map(Value::to_json).collect::<Option<_>>()?),
            Self::Map(entries) => {
                let entry = |(key, value): &(Value<'_>, Value<'_>)| {
                    let name = match key {
                        Value::Text(text) => text.to_string(),
                        Value::Int(int) => int.to_string(),
                        _ => return None,
                    };
                    Some((name, value.to_json()?))
                };
                Json::Object(entries.iter().map(entry).collect::<Option<_>>()?)
            }
            Self::Timestamp(_) | Self::Duration(_) | Self::Bytes(_) => {
                Json::from(crate::functions::to_text(self)?)
            }
            Self::Quantity(quantity) => Json::from(quantity.to_string()),
            _ => return None,
        })
    }
}

pub(crate) fn item_type(kind: &Type) -> &Type {
    match kind {
        Type::List(item) => item,
        _ => &DYN,
    }
}

fn field_type<'a>(kind: &'a Type, name: &str) -> &'a Type {
    match kind {
        Type::Map(_, value) => value,
        Type::Object(object) => object.fields.get(name).map_or(&DYN, |(_, kind)| kind),
        _ => &DYN,
    }
}

/// The name in expressions of a field in JSON.
fn shown_name(stored: &str, kind: &Type) -> String {
    match kind {
        Type::Object(_) => crate::schema::escape(stored).unwrap_or_else(|| stored.to_owned()),
        _ => stored.to_owned(),
    }
}
