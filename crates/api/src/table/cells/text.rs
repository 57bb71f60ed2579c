//! How lists, labels and selectors are written in a cell.

use crate::access::Access;
use serde_json::{Map, Value};

/// `a=b,c=d`, or `<none>`.
pub(super) fn labels(map: &Map<String, Value>) -> String {
    let pairs: Vec<String> =
        map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    or_none(pairs.join(","))
}

/// A LabelSelector as kubectl writes it, or `<none>`.
pub(super) fn label_selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return "<none>".into() };
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in selector.map("matchLabels") {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or(""))));
    }
    for expression in selector.items("matchExpressions") {
        parts.push((expression.text("key").into(), requirement(expression)));
    }
    parts.sort();
    or_none(parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(","))
}

fn requirement(expression: &Value) -> String {
    let key = expression.text("key");
    let mut values: Vec<&str> = expression.items("values").iter().filter_map(Value::as_str).collect();
    values.sort_unstable();
    match expression.text("operator") {
        "In" => format!("{key} in ({})", values.join(",")),
        "NotIn" => format!("{key} notin ({})", values.join(",")),
        "DoesNotExist" => format!("!{key}"),
        _ => key.into(),
    }
}

pub(super) fn or_none(text: String) -> String {
    if text.is_empty() { "<none>".into() } else { text }
}

/// The first `max` of a list and how many there are besides.
pub(super) fn first_and_more(list: &[String], max: usize, separator: &str) -> String {
    if list.len() <= max {
        return list.join(separator);
    }
    format!("{} + {} more...", list[..max].join(separator), list.len() - max)
}

/// The strings at `path` of each item of a list, joined.
pub(super) fn join<'a>(items: &'a [Value], path: &str, separator: &str) -> String {
    let texts: Vec<&'a str> = items.iter().map(|item| item.text(path)).collect();
    texts.join(separator)
}

/// The plain strings of a list, joined.
pub(super) fn join_strings(items: &[Value], separator: &str) -> String {
    items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(separator)
}

/// A number or a string (IntOrString, Quantity) as text.
pub(super) fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
