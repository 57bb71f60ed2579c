//! YAML to JSON trees and back, as sigs.k8s.io/yaml has it: YAML 1.1's numbers and booleans, keys as strings.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use super::error::{DecodeError, Decoded, MOST_DEPTH, Validation};
use super::json_decode::decode_value;
use crate::schema::TypeRef;

/// Nodes that a document may have after its aliases are followed: enough for any body of 3 MiB.
const MOST_NODES: usize = 4_000_000;

/// Reads a YAML object of `owner`; JSON is YAML too.
pub fn decode_yaml(owner: TypeRef<'_>, bytes: &[u8], validation: Validation) -> Result<Decoded, DecodeError> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("yaml: invalid leading UTF-8 octet"))?;
    let (tree, duplicates) = yaml_tree(text)?;
    if validation == Validation::Strict && !duplicates.is_empty() {
        return Err(DecodeError::Strict(duplicates));
    }
    let mut decoded = decode_value(owner, &tree, validation)?;
    if validation == Validation::Warn {
        decoded.warnings.splice(0..0, duplicates);
    }
    Ok(decoded)
}

fn malformed(message: impl Into<String>) -> DecodeError {
    DecodeError::Malformed(message.into())
}

/// The first document as a tree, and the keys that stand twice in a map.
pub fn yaml_tree(text: &str) -> Result<(Value, Vec<String>), DecodeError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| malformed(format!("error converting YAML to JSON: yaml: {error}")))?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event, span.start.line())?;
    }
    Ok((builder.root.unwrap_or(Value::Null), builder.duplicates))
}

/// A collection that is being read.
enum Open {
    List(Vec<Value>, usize),
    Map { map: Map<String, Value>, key: Option<String>, anchor: usize },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: Vec<(usize, Value)>,
    root: Option<Value>,
    duplicates: Vec<String>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), DecodeError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.suffix() == "str");
                let value = if is_text { Value::String(text.into_owned()) } else { plain(&text) };
                self.remember(anchor, &value);
                self.add(value, line)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.check_depth(1)?;
                self.open.push(Open::List(Vec::new(), anchor));
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.check_depth(1)?;
                self.open.push(Open::Map { map: Map::new(), key: None, anchor });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, anchor) = match self.open.pop() {
                    Some(Open::List(items, anchor)) => (Value::Array(items), anchor),
                    Some(Open::Map { map, anchor, .. }) => (Value::Object(map), anchor),
                    None => return Err(malformed("yaml: unexpected end")),
                };
                self.remember(anchor, &value);
                self.add(value, line)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                let value =
                    known.map(|(_, value)| value.clone()).ok_or_else(|| malformed("yaml: unknown anchor"))?;
                self.check_depth(depth(&value))?;
                self.nodes += size(&value);
                self.add(value, line)
            }
            Event::UnresolvedAlias(name) => {
                Err(malformed(format!("yaml: unknown anchor '{name}' referenced")))
            }
            _ => Ok(()),
        }
    }

    /// Whether something `more` levels deep may stand here.
    fn check_depth(&self, more: usize) -> Result<(), DecodeError> {
        if self.open.len() + more > MOST_DEPTH {
            return Err(malformed("yaml: exceeded max depth"));
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, value: &Value) {
        if anchor > 0 {
            self.anchors.push((anchor, value.clone()));
        }
    }

    fn add(&mut self, value: Value, line: usize) -> Result<(), DecodeError> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(malformed("yaml: document contains excessive aliasing"));
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List(items, _)) => items.push(value),
            Some(Open::Map { map, key, .. }) => match key.take() {
                None => {
                    *key = Some(key_text(&value).ok_or_else(|| {
                        malformed(format!("yaml: line {line}: a map's key must be a scalar"))
                    })?)
                }
                Some(name) if name == "<<" => merge(map, value),
                Some(name) => {
                    if map.contains_key(&name) {
                        self.duplicates.push(format!(
                            "yaml: unmarshal errors:\n  line {line}: key {name:?} already set in map"
                        ));
                    }
                    map.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// Levels of a value: an anchor's are bounded, since it was checked when it was read.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// YAML's merge key: what stands there already wins.
fn merge(map: &mut Map<String, Value>, from: Value) {
    match from {
        Value::Object(from) => from.into_iter().for_each(|(name, value)| {
            map.entry(name).or_insert(value);
        }),
        Value::Array(items) => items.into_iter().for_each(|item| merge(map, item)),
        _ => {}
    }
}

fn key_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => Some("null".into()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// An unquoted scalar, by YAML 1.1 as Go's yaml.v2 reads it.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return true.into(),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return false.into(),
        _ => {}
    }
    number(text).unwrap_or_else(|| text.into())
}

fn number(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let first = digits.chars().next()?;
    if !first.is_ascii_digit() && first != '.' {
        return None;
    }
    let clean = digits.replace('_', "");
    let radix = |prefix: &str, radix| i64::from_str_radix(clean.strip_prefix(prefix)?, radix).ok();
    let integer = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| (clean.len() > 1).then(|| radix("0", 8)).flatten())
        .or_else(|| clean.parse::<i64>().ok().filter(|_| clean == "0" || !clean.starts_with('0')));
    if let Some(integer) = integer {
        return Some(if negative { -integer } else { integer }.into());
    }
    let is_float = clean.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let float: f64 = clean.parse().ok().filter(|_| is_float)?;
    let float = if negative { -float } else { float };
    // Upstream goes by way of JSON text, where Go writes 1.0 as 1.
    if float.fract() == 0.0 && float.abs() < 9e15 {
        return Some((float as i64).into());
    }
    Number::from_f64(float).map(Value::Number)
}

/// Writes a tree as YAML with sorted keys, as `sigs.k8s.io/yaml` does.
pub fn encode_yaml(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0, false);
    out
}

fn block(out: &mut String, value: &Value, indent: usize, in_list: bool) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (name, value)) in map.iter().enumerate() {
                if index > 0 || !in_list {
                    out.extend(std::iter::repeat_n(' ', indent));
                }
                out.push_str(&scalar(name, indent));
                out.push(':');
                nested(out, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 || !in_list {
                    out.extend(std::iter::repeat_n(' ', indent));
                }
                out.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        out.push(' ');
                        block(out, item, indent + 2, true);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        out.push(' ');
                        block(out, item, indent + 2, true);
                    }
                    item => leaf(out, item, indent),
                }
            }
        }
        value => leaf(out, value, indent),
    }
}

fn nested(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2, false);
        }
        // Lists stand at the indent of their key.
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, indent, false);
        }
        value => leaf(out, value, indent),
    }
}

fn leaf(out: &mut String, value: &Value, indent: usize) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push(' ');
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        Value::String(text) => out.push_str(&scalar(text, indent)),
        value => out.push_str(&value.to_string()),
    }
    out.push('\n');
}

/// Plain where that reads back as the same text, a literal block for several lines, else quoted.
fn scalar(text: &str, indent: usize) -> String {
    if text.contains('\n')
        && text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control())
        && !text.starts_with([' ', '\n'])
    {
        return literal(text, indent);
    }
    let ambiguous = text.is_empty()
        || !matches!(plain(text), Value::String(_))
        || looks_like_time(text)
        || text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@` ".contains(c)) && !plain_start(text)
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #")
        || matches!(text, "y" | "Y" | "n" | "N" | "=" | "<<");
    if text.chars().any(|c| c.is_control()) {
        serde_json::to_string(text).expect("a string serializes")
    } else if !ambiguous {
        text.to_owned()
    } else if text.contains('\'')
        || !matches!(plain(text), Value::String(_))
        || text.is_empty()
        || looks_like_time(text)
        || matches!(text, "y" | "Y" | "n" | "N" | "<<")
    {
        serde_json::to_string(text).expect("a string serializes")
    } else {
        format!("'{text}'")
    }
}

/// `-x`, `:x` and `?x` are plain.
fn plain_start(text: &str) -> bool {
    text.len() > 1 && text.starts_with(['-', ':', '?']) && !text[1..].starts_with(' ')
}

fn looks_like_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

fn literal(text: &str, indent: usize) -> String {
    let chomp = match (text.ends_with('\n'), text.ends_with("\n\n")) {
        (false, _) => "-",
        (true, false) => "",
        (true, true) => "+",
    };
    let pad = " ".repeat(indent + 2);
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<String> = body
        .split('\n')
        .map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") })
        .collect();
    format!("|{chomp}\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_reads_as_upstream_reads_it() {
        let text = "a: 1\nb: [x, 'y', 0o17, 017, 1.5, yes, ~]\nc:\n  d: |\n    two\n    lines\n  e: \"1\"\n1: &x {k: v}\nf: *x\ng: 12-3\nh: !!str 5\n";
        let (tree, duplicates) = yaml_tree(text).expect("reads");
        assert_eq!(
            tree,
            json!({"a": 1, "b": ["x", "y", 15, 15, 1.5, true, null], "c": {"d": "two\nlines\n", "e": "1"},
            "1": {"k": "v"}, "f": {"k": "v"}, "g": "12-3", "h": "5"})
        );
        assert!(duplicates.is_empty());
        assert!(yaml_tree("kind: [").is_err());
    }

    #[test]
    fn nesting_ends_before_the_stack_does() {
        assert!(yaml_tree(&"[".repeat(100_000)).is_err());
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(yaml_tree(&deep(MOST_DEPTH)).is_ok());
        // Each anchor is shallow enough; one inside the other is not.
        let twice = format!("a: &a {}\nb: {}*a{}\n", deep(100), "[".repeat(100), "]".repeat(100));
        assert!(yaml_tree(&twice).is_err());
    }

    #[test]
    fn keys_that_stand_twice_are_told() {
        let (_, duplicates) = yaml_tree("a: 1\nb: 2\na: 3\n").expect("reads");
        assert_eq!(duplicates, ["yaml: unmarshal errors:\n  line 3: key \"a\" already set in map"]);
    }

    #[test]
    fn what_is_written_reads_back() {
        let tree = json!({"a": {"b": [1, {"c": "x", "d": []}, [2, 3]], "e": "true", "f": "", "g": "two\nlines\n", "h": {}},
            "i": "a: b", "j": "- x", "k": null, "l": "it's: so", "m": "2026-01-01T00:00:00Z", "n": 1.5, "o": "-x", "p": "12"});
        let text = encode_yaml(&tree);
        assert_eq!(yaml_tree(&text).expect("reads").0, tree, "{text}");
    }
}
