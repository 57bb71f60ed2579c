//! Whether a configuration is of its schema, before anything is merged.
//!
//! Upstream: structured-merge-diff, typed/validate.go.

use serde_json::Value;

use super::node::{Node, View};
use crate::schema::Shape;

/// Everything that is wrong with `config`, in upstream's words; none if nothing is.
pub fn problems(node: Node<'_>, config: &Value) -> Option<String> {
    let mut found = Vec::new();
    check(node, config, "", &mut found);
    match found.len() {
        0 => None,
        1 => found.pop(),
        _ => Some(format!("errors:\n{}", found.iter().map(|one| format!("  {one}\n")).collect::<String>())),
    }
}

fn check(node: Node<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    match (node, value) {
        (_, Value::Null) | (Node::Deduced | Node::Atomic, _) => {}
        (Node::Scalar(shape), value) => {
            if let Some(why) = mismatch(shape, value) {
                found.push(format!("{path}: {why}"));
            }
        }
        (Node::Struct(_) | Node::Map(..), Value::Object(map)) => {
            for name in map.keys().filter(|name| node.child(name).is_none()) {
                found.push(format!("{path}.{name}: field not declared in schema"));
            }
            for child in node.entries(value, View::Sent) {
                let Some(value) = child.value else { continue };
                check(child.node, value, &format!("{path}.{}", child.name), found);
            }
        }
        (Node::Struct(_) | Node::Map(..), other) => {
            found.push(format!("{path}: expected map, got &{{{other}}}"))
        }
        (_, Value::Array(items)) => check_items(node, items, path, found),
        (_, other) => found.push(format!("{path}: expected list, got &{{{other}}}")),
    }
}

fn check_items(node: Node<'_>, items: &[Value], path: &str, found: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        match node.step_to(item) {
            Err(why) => found.push(format!("{path}: element {index}: {why}")),
            Ok(step) => {
                check(node.item(), item, &format!("{path}{step}"), found);
                let text = step.to_string();
                if !seen.insert(step) {
                    found.push(format!("{path}: duplicate entries for key {text}"));
                }
            }
        }
    }
}

fn mismatch(shape: Shape, value: &Value) -> Option<String> {
    let kind = match value {
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        _ => "map[string]interface {}",
    };
    let scalar = !matches!(value, Value::Array(_) | Value::Object(_));
    match shape {
        Shape::Int32 | Shape::Int64 | Shape::Float64 if !value.is_number() => {
            Some(format!("expected numeric (int or float), got {kind}"))
        }
        Shape::Bool if !value.is_boolean() => Some(format!("expected boolean, got {kind}")),
        Shape::Quantity | Shape::IntOrString if !scalar => Some(format!("expected any scalar, got {value}")),
        Shape::Quantity | Shape::IntOrString => None,
        Shape::String | Shape::Enum(_) | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration
            if !value.is_string() =>
        {
            Some(format!("expected string, got {value}"))
        }
        _ => None,
    }
}
