//! The part of JSONPath that printer columns use: `.a.b`, `['a']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`.

use crate::access::Access;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Items whose field equals a text.
    Where(String, String),
}

/// A parsed path. What cannot be read finds nothing, as upstream's AllowMissingKeys does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

impl JsonPath {
    pub(super) fn parse(text: &str) -> Self {
        let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, left) = next_step(rest);
            steps.extend(step);
            rest = left;
        }
        JsonPath(steps)
    }

    pub(super) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![root];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| take(step, value)).collect();
        }
        found.retain(|value| !value.is_null());
        found
    }
}

fn next_step(rest: &str) -> (Option<Step>, &str) {
    if let Some(inner) = rest.strip_prefix('[') {
        let end = closing(inner);
        let left = inner.get(end + 1..).unwrap_or("");
        return (bracket(&inner[..end]), left);
    }
    let rest = rest.trim_start_matches('.');
    let mut end = rest.len();
    let mut escaped = false;
    for (index, character) in rest.char_indices() {
        if !escaped && matches!(character, '.' | '[') {
            end = index;
            break;
        }
        escaped = character == '\\';
    }
    let name = rest[..end].replace('\\', "");
    let step = match name.as_str() {
        "" => None,
        "*" => Some(Step::All),
        _ => Some(Step::Field(name)),
    };
    (step, &rest[end..])
}

/// Where the bracket ends, outside of quotation marks.
fn closing(inner: &str) -> usize {
    let mut quote = None;
    for (index, character) in inner.char_indices() {
        match (quote, character) {
            (None, ']') => return index,
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
    }
    inner.len()
}

fn bracket(inner: &str) -> Option<Step> {
    if inner == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        let (field, value) = filter.split_once("==")?;
        return Some(Step::Where(field.trim().trim_start_matches("@.").into(), unquote(value).into()));
    }
    match inner.parse::<i64>() {
        Ok(index) => Some(Step::Index(index)),
        Err(_) => Some(Step::Field(unquote(inner).into())), // not a number: a name
    }
}

fn unquote(text: &str) -> &str {
    text.trim().trim_matches(['\'', '"'])
}

fn take<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(list)) => {
            let at = if *index < 0 { list.len() as i64 + index } else { *index };
            usize::try_from(at).ok().and_then(|at| list.get(at)).into_iter().collect() // before the start: nothing
        }
        (Step::All, Value::Array(list)) => list.iter().collect(),
        (Step::All, Value::Object(map)) => map.values().collect(),
        (Step::Where(field, wanted), Value::Array(list)) => list
            .iter()
            .filter(|item| super::text(item.at(field).unwrap_or(&Value::Null)) == *wanted)
            .collect(),
        _ => Vec::new(),
    }
}
