//! Any object: its metadata, then all its fields by name.

use serde_json::Value;

use super::Page;
use super::page::text_at;

pub fn write(page: &mut Page, object: &Value) {
    let metadata = &object["metadata"];
    page.field(0, "Name", text_at(metadata, "name"));
    page.field(0, "Namespace", text_at(metadata, "namespace"));
    page.labels(metadata);
    page.field(0, "API Version", text_at(object, "apiVersion"));
    page.field(0, "Kind", text_at(object, "kind"));
    let mut shown = object.clone();
    if let Some(map) = shown.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    if let Some(map) = shown["metadata"].as_object_mut() {
        for name in ["name", "namespace", "labels", "annotations", "managedFields"] {
            map.remove(name);
        }
    }
    fields(page, &shown, 0);
}

fn fields(page: &mut Page, value: &Value, level: usize) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let title = title(name);
        match value {
            Value::Object(map) if map.is_empty() => page.line(level, format!("{title}:")),
            Value::Object(_) => {
                page.line(level, format!("{title}:"));
                fields(page, value, level + 1);
            }
            Value::Array(list) => {
                page.line(level, format!("{title}:"));
                for item in list {
                    match item {
                        Value::Object(_) => fields(page, item, level + 1),
                        item => page.line(level + 1, super::page::plain(item)),
                    }
                }
            }
            Value::Null => page.field(level, &title, "<nil>"),
            value => page.field(level, &title, super::page::plain(value)),
        }
    }
}

/// `minReadySeconds` as `Min Ready Seconds`.
fn title(name: &str) -> String {
    const WHOLE: &[&str] = &["API", "URL", "UID", "OSB", "GUID", "IP", "ID"];
    let mut words: Vec<String> = Vec::new();
    let mut last_upper = false;
    for c in name.chars() {
        let starts = c.is_uppercase() && !last_upper;
        match words.last_mut() {
            Some(word) if !starts => word.push(c),
            _ => words.push(c.to_uppercase().collect()),
        }
        last_upper = c.is_uppercase();
    }
    let joined: Vec<String> = words
        .into_iter()
        .map(|word| if WHOLE.contains(&word.to_uppercase().as_str()) { word.to_uppercase() } else { word })
        .collect();
    joined.join(" ")
}
