//! KYAML: YAML with braces, quoted strings and trailing commas, that no reader mistakes.
//!
//! Upstream: sigs.k8s.io/yaml/kyaml.

use serde_json::Value;

pub fn encode(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    out.push('\n');
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push_str("{\n");
            for (name, value) in map {
                out.extend(std::iter::repeat_n("  ", depth + 1));
                out.push_str(&key(name));
                out.push_str(": ");
                write(out, value, depth + 1);
                out.push_str(",\n");
            }
            out.extend(std::iter::repeat_n("  ", depth));
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => list(out, items, depth),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        value => out.push_str(&value.to_string()),
    }
}

/// Objects are cuddled, other items stand on lines of their own.
fn list(out: &mut String, items: &[Value], depth: usize) {
    if items.iter().all(|item| item.is_object() || item.is_array()) {
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            write(out, item, depth);
        }
        out.push(']');
        return;
    }
    out.push_str("[\n");
    for item in items {
        out.extend(std::iter::repeat_n("  ", depth + 1));
        write(out, item, depth + 1);
        out.push_str(",\n");
    }
    out.extend(std::iter::repeat_n("  ", depth));
    out.push(']');
}

/// Plain where every reader takes it for a string.
fn key(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !matches!(
            name.to_lowercase().as_str(),
            "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
        );
    if is_plain { name.to_owned() } else { Value::from(name).to_string() }
}
