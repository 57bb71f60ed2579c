//! Types and sizes of values with a structural schema, and how their names are written in expressions.
//!
//! Upstream: apiserver/pkg/cel/{escaping.go,common/schemas.go}.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::custom::{Additional, Structural};

use crate::cost::Bound;
use crate::parser::RESERVED;
use crate::types::{ObjectType, Type};

/// A property's name in expressions; none if it cannot be named there.
pub fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let escaped = name
        .replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__");
    let first = escaped.chars().next()?;
    let named = (first.is_ascii_alphabetic() || first == '_')
        && escaped.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some(escaped)
}

/// The type of values of a schema; `place` names it, `is_root` for whole objects.
pub fn type_of(schema: &Structural, place: &str, is_root: bool) -> Type {
    if schema.int_or_string {
        return Type::Dyn;
    }
    match (schema.kind.as_str(), &schema.items, &schema.additional) {
        ("boolean", ..) => Type::Bool,
        ("integer", ..) => Type::Int,
        ("number", ..) => Type::Double,
        ("string", ..) => match schema.checks.format.as_str() {
            "byte" => Type::Bytes,
            "duration" => Type::Duration,
            "date" | "date-time" | "datetime" => Type::Timestamp,
            _ => Type::String,
        },
        ("array", Some(items), _) => Type::list(type_of(items, &format!("{place}.@idx"), false)),
        ("object", _, Additional::Schema(values)) => {
            Type::map(Type::String, type_of(values, &format!("{place}.@elem"), false))
        }
        ("object", ..) => object(schema, place, is_root || schema.embedded),
        _ => Type::Dyn,
    }
}

fn object(schema: &Structural, place: &str, is_resource: bool) -> Type {
    let mut fields = BTreeMap::new();
    for (name, below) in &schema.properties {
        if let Some(escaped) = escape(name) {
            fields.insert(escaped, (name.clone(), type_of(below, &format!("{place}.{name}"), false)));
        }
    }
    if is_resource {
        for name in ["apiVersion", "kind"] {
            fields.insert(name.to_owned(), (name.to_owned(), Type::String));
        }
        let metadata = [("name", Type::String), ("generateName", Type::String)];
        fields.insert(
            "metadata".into(),
            ("metadata".into(), Type::object(&format!("{place}.metadata"), &metadata)),
        );
    }
    Type::Object(Arc::new(ObjectType { name: place.to_owned(), fields }))
}

/// What fits into a request.
const REQUEST: u64 = 3 * 1024 * 1024 - 2;

/// How large values of a schema can be.
pub fn bound_of(schema: &Structural) -> Arc<Bound> {
    let checks = &schema.checks;
    let mut bound = Bound { size: 1, ..Bound::default() };
    match (schema.kind.as_str(), &schema.items, &schema.additional) {
        ("string", ..) => bound.size = string_size(schema),
        ("array", Some(items), _) => {
            bound.size = checks.max_items.unwrap_or(REQUEST / (least(items) + 1));
            bound.item = Some(bound_of(items));
        }
        ("object", _, Additional::Schema(values)) => {
            bound.size = checks.max_properties.unwrap_or(REQUEST / (least(values) + 6));
            bound.item = Some(bound_of(values));
        }
        ("object", ..) => {
            bound.size = schema.properties.len() as u64;
            for (name, below) in &schema.properties {
                if let Some(escaped) = escape(name) {
                    bound.fields.insert(escaped, bound_of(below));
                }
            }
            for name in ["apiVersion", "kind"] {
                bound.fields.entry(name.into()).or_insert_with(|| text(253));
            }
            let name = ["name", "generateName"].map(|name| (name.to_owned(), text(253)));
            let metadata = Bound { size: 2, item: None, fields: name.into() };
            bound.fields.entry("metadata".into()).or_insert_with(|| Arc::new(metadata));
        }
        _ if schema.int_or_string => bound.size = 1,
        _ => bound.size = REQUEST,
    }
    Arc::new(bound)
}

fn text(size: u64) -> Arc<Bound> {
    Arc::new(Bound { size, ..Bound::default() })
}

fn string_size(schema: &Structural) -> u64 {
    let checks = &schema.checks;
    if let Some(most) = checks.max_length {
        return most;
    }
    if !checks.choices.is_empty() {
        return checks
            .choices
            .iter()
            .filter_map(|choice| choice.as_str())
            .map(|text| text.len() as u64)
            .max()
            .unwrap_or(0);
    }
    match checks.format.as_str() {
        "duration" => 32,
        "date" => 10,
        "date-time" | "datetime" => 35,
        _ => REQUEST,
    }
}

/// The shortest text of a value.
fn least(schema: &Structural) -> u64 {
    match schema.kind.as_str() {
        "string" => schema.checks.min_length.unwrap_or(0) + 2,
        "boolean" => 4,
        "object" => {
            let of = |name: &String| {
                schema.properties.get(name).map_or(0, |below| name.len() as u64 + 4 + least(below))
            };
            2 + schema.checks.required.iter().map(of).sum::<u64>()
        }
        "array" => 2,
        _ => 1,
    }
}
