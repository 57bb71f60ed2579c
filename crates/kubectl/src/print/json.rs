//! JSON as Go writes it.

use serde_json::Value;

/// Indented by four, with what HTML minds escaped.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (index, (name, value)) in map.iter().enumerate() {
                start_line(out, index, depth + 1);
                string(out, name);
                out.push_str(": ");
                write(out, value, depth + 1);
            }
            end(out, depth, '}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                start_line(out, index, depth + 1);
                write(out, item, depth + 1);
            }
            end(out, depth, ']');
        }
        Value::String(text) => string(out, text),
        value => out.push_str(&value.to_string()),
    }
}

fn start_line(out: &mut String, index: usize, depth: usize) {
    out.push_str(if index == 0 { "\n" } else { ",\n" });
    out.extend(std::iter::repeat_n("    ", depth));
}

fn end(out: &mut String, depth: usize, bracket: char) {
    out.push('\n');
    out.extend(std::iter::repeat_n("    ", depth));
    out.push(bracket);
}

fn string(out: &mut String, text: &str) {
    let quoted = Value::from(text).to_string();
    for c in quoted.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}

/// In one line, as Go's encoder writes it.
pub fn compact(value: &Value) -> String {
    let mut out = String::new();
    one_line(&mut out, value);
    out
}

fn one_line(out: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            out.push('{');
            for (index, (name, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                string(out, name);
                out.push(':');
                one_line(out, value);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                one_line(out, item);
            }
            out.push(']');
        }
        Value::String(text) => string(out, text),
        value => out.push_str(&value.to_string()),
    }
}

/// `map[string]interface {}{"a":1}`: how Go shows the value to a programmer.
pub fn go_syntax(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k:?}:{}", go_syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", pairs.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Null => "interface {}(nil)".into(),
        Value::String(text) => format!("{text:?}"),
        value => value.to_string(),
    }
}

/// `map[a:1 b:[x y]]`: how Go prints a value.
pub fn go_plain(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_plain(v))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
