//! Tables: what `kubectl get` prints.
//!
//! Upstream: pkg/printers; apiextensions-apiserver/pkg/registry/customresource/tableconvertor.

pub mod cells;
pub mod duration;
mod jsonpath;

#[cfg(test)]
mod tests;

use crate::access::Access;
use crate::rules::{self, ResourceRules, Source};
use crate::schema::ResourceRef;
use cells::Context;
use jiff::Timestamp;
use jsonpath::JsonPath;
use serde_json::{Value, json};

/// How much of each object its row carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Include {
    #[default]
    Metadata,
    Object,
    None,
}

/// A column and where its cells come from.
pub struct Column {
    pub name: String,
    pub kind: String,
    pub format: String,
    pub description: String,
    pub priority: i64,
    cell: Cell,
}

enum Cell {
    Rule(Source),
    /// Of a custom resource; dates are printed as ages.
    Custom(JsonPath),
}

/// The columns of a built-in resource.
pub fn columns_of(resource: ResourceRef<'_>) -> Vec<Column> {
    columns(&resource.object().get().package, &resource.plural)
}

/// The columns of a built-in resource by its package, `core/v1`.
pub fn columns(package: &str, plural: &str) -> Vec<Column> {
    match rules::of_resource(package, plural) {
        Some(rules) if !rules.columns.is_empty() => of_rules(rules),
        _ => vec![
            rule_column("Name", "string", "name", 0, Source::Path("metadata.name")),
            rule_column("Created At", "date", "", 0, Source::Path("metadata.creationTimestamp")),
        ],
    }
}

fn of_rules(rules: &ResourceRules) -> Vec<Column> {
    rules
        .columns
        .iter()
        .map(|column| {
            rule_column(column.name, column.kind, column.format, i64::from(column.wide), column.source)
        })
        .collect()
}

fn rule_column(name: &str, kind: &str, format: &str, priority: i64, source: Source) -> Column {
    Column {
        name: name.into(),
        kind: kind.into(),
        format: format.into(),
        description: String::new(),
        priority,
        cell: Cell::Rule(source),
    }
}

/// The columns of a custom resource, from its `additionalPrinterColumns`: Name, then those, or Age.
pub fn custom_columns(additional: &[Value]) -> Vec<Column> {
    let age = json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"});
    let given = if additional.is_empty() { std::slice::from_ref(&age) } else { additional };
    let name = rule_column("Name", "string", "name", 0, Source::Path("metadata.name"));
    std::iter::once(name).chain(given.iter().map(custom_column)).collect()
}

fn custom_column(column: &Value) -> Column {
    Column {
        name: column.text("name").into(),
        kind: column.text("type").into(),
        format: column.text("format").into(),
        description: column.text("description").into(),
        priority: column.int("priority"),
        cell: Cell::Custom(JsonPath::parse(column.text("jsonPath"))),
    }
}

/// The Table of some objects. `list_metadata` is that of their list, or of the one object.
pub fn render(
    columns: &[Column],
    objects: &[&Value],
    list_metadata: Value,
    include: Include,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects.iter().map(|object| row(columns, object, include, now)).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata,
        "columnDefinitions": columns.iter().map(definition).collect::<Vec<_>>(), "rows": rows,
    })
}

fn definition(column: &Column) -> Value {
    json!({"name": column.name, "type": column.kind, "format": column.format, "description": column.description, "priority": column.priority})
}

/// One row, also of a watch event.
pub fn row(columns: &[Column], object: &Value, include: Include, now: Timestamp) -> Value {
    let cells: Vec<Value> = columns.iter().map(|column| cell(column, object, now)).collect();
    let carried = match include {
        Include::None => Value::Null,
        Include::Object => object.clone(),
        Include::Metadata => {
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.at("metadata")})
        }
    };
    let mut row = json!({"cells": cells, "object": carried});
    if let Some(condition) = completed(object) {
        row["conditions"] = json!([condition]);
    }
    row
}

/// Pods that have ended are hidden by some clients.
fn completed(object: &Value) -> Option<Value> {
    let (reason, message) = match (object.text("kind"), object.text("status.phase")) {
        ("Pod", "Succeeded") => ("Succeeded", "The pod has completed successfully."),
        ("Pod", "Failed") => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!({"type": "Completed", "status": "True", "reason": reason, "message": message}))
}

fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    match &column.cell {
        Cell::Rule(Source::Computed(function)) => function(object, Context { now }),
        Cell::Rule(Source::Path(path)) => object.at(path).cloned().unwrap_or_else(|| zero(&column.kind)),
        Cell::Custom(path) => custom_cell(path, &column.kind, object, now),
    }
}

/// What a field that is not there prints as.
fn zero(kind: &str) -> Value {
    match kind {
        "integer" | "number" => json!(0),
        "boolean" => json!(false),
        _ => json!(""),
    }
}

fn custom_cell(path: &JsonPath, kind: &str, object: &Value, now: Timestamp) -> Value {
    let found = path.find(object);
    let Some(first) = found.first() else { return Value::Null };
    match kind {
        "date" => duration::since(first.as_str().unwrap_or(""), now).into(),
        "integer" if first.is_i64() => (*first).clone(),
        "number" if first.is_number() => (*first).clone(),
        "boolean" if first.is_boolean() => (*first).clone(),
        "string" => found.iter().map(|value| text(value)).collect::<Vec<_>>().join(" ").into(),
        _ => Value::Null,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
