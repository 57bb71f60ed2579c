//! Upstream's dialect of JSONPath: text with `{…}` in it, ranges, filters, unions, slices, recursion.
//!
//! Upstream: client-go/util/jsonpath.

use serde_json::Value;

use super::json;

#[derive(Debug)]
pub struct JsonPath {
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Debug, Clone)]
enum Step {
    Root,
    Current,
    Field(String),
    Every,
    Deep,
    Slice(Option<i64>, Option<i64>, i64, bool),
    Union(Vec<Vec<Step>>),
    Filter(Operand, String, Operand),
    Value(Value),
}

#[derive(Debug, Clone)]
enum Operand {
    Path(Vec<Step>),
    Value(Value),
    None,
}

type Outcome<T> = Result<T, String>;

impl JsonPath {
    /// # Errors
    /// What is wrong with the template.
    pub fn parse(source: &str) -> Outcome<Self> {
        let mut parser = Parser { rest: source };
        let nodes = parser.nodes(false)?;
        Ok(Self { nodes })
    }

    /// `.a.b`, `{.a.b}`, `a.b`: one path, written any way.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_relaxed(source: &str) -> Outcome<Self> {
        if source.is_empty() {
            return Ok(Self { nodes: Vec::new() });
        }
        let inner = source.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(source);
        let inner = inner.strip_prefix('.').unwrap_or(inner);
        if inner.contains(['{', '}']) {
            return Err("unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'".into());
        }
        Self::parse(&format!("{{.{inner}}}"))
    }

    /// # Errors
    /// A field that is missing, where that is not allowed; an index beyond a list's end.
    pub fn text(&self, object: &Value, allow_missing: bool) -> Outcome<String> {
        let mut out = String::new();
        run(&self.nodes, object, object, allow_missing, &mut |values| {
            let texts: Vec<String> = values.iter().map(|value| plain(value)).collect();
            out.push_str(&texts.join(" "));
        })?;
        Ok(out)
    }

    /// All results as one JSON list.
    ///
    /// # Errors
    /// As [`JsonPath::text`].
    pub fn json(&self, object: &Value, allow_missing: bool) -> Outcome<String> {
        let values = self.values(object, allow_missing)?;
        Ok(json::pretty(&Value::Array(values)) + "\n")
    }

    /// All results.
    ///
    /// # Errors
    /// As [`JsonPath::text`].
    pub fn values(&self, object: &Value, allow_missing: bool) -> Outcome<Vec<Value>> {
        let mut all = Vec::new();
        run(&self.nodes, object, object, allow_missing, &mut |values| {
            all.extend(values.iter().map(|value| (*value).clone()));
        })?;
        Ok(all)
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Object(_) | Value::Array(_) => json::compact(value),
        value => value.to_string(),
    }
}

fn run(
    nodes: &[Node],
    root: &Value,
    current: &Value,
    allow_missing: bool,
    emit: &mut dyn FnMut(&[&Value]),
) -> Outcome<()> {
    for node in nodes {
        match node {
            Node::Text(text) => emit(&[&Value::from(text.as_str())]),
            Node::Path(steps) => emit(&walk(steps, root, current, allow_missing)?),
            Node::Range(steps, body) => {
                for value in walk(steps, root, current, allow_missing)? {
                    run(body, root, value, allow_missing, emit)?;
                }
            }
        }
    }
    Ok(())
}

fn walk<'a>(steps: &'a [Step], root: &'a Value, current: &'a Value, allow: bool) -> Outcome<Vec<&'a Value>> {
    let mut values = vec![current];
    for step in steps {
        values = take(step, root, values, allow)?;
    }
    Ok(values)
}

fn take<'a>(step: &'a Step, root: &'a Value, values: Vec<&'a Value>, allow: bool) -> Outcome<Vec<&'a Value>> {
    let mut out = Vec::new();
    for value in &values {
        match step {
            Step::Root => out.push(root),
            Step::Current => out.push(*value),
            Step::Value(constant) => out.push(constant),
            Step::Field(name) if name.is_empty() => out.push(*value),
            Step::Field(name) => match value {
                Value::Object(map) => out.extend(map.get(name)),
                Value::Null => {}
                _ if value.is_array() || allow => {}
                _ => return Err(format!("can't find field {name}")),
            },
            Step::Every => match value {
                Value::Array(items) => out.extend(items),
                Value::Object(map) => out.extend(map.values()),
                _ => {}
            },
            Step::Deep => descend(value, &mut out),
            Step::Slice(..) => slice(step, value, &mut out)?,
            Step::Union(paths) => {
                for path in paths {
                    out.extend(walk(path, root, value, allow)?);
                }
            }
            Step::Filter(left, operator, right) => {
                let Value::Array(items) = value else {
                    return if value.is_null() {
                        Ok(out)
                    } else {
                        Err(format!("{} is not array or slice and cannot be filtered", json::go_plain(value)))
                    };
                };
                for item in items {
                    if holds(left, operator, right, root, item)? {
                        out.push(item);
                    }
                }
            }
        }
    }
    match step {
        Step::Field(name) if out.is_empty() && !allow && !values.is_empty() => {
            Err(format!("{name} is not found"))
        }
        _ => Ok(out),
    }
}

fn descend<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    out.push(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| descend(item, out)),
        Value::Object(map) => map.values().for_each(|value| descend(value, out)),
        _ => {}
    }
}

fn slice<'a>(step: &Step, value: &'a Value, out: &mut Vec<&'a Value>) -> Outcome<()> {
    let Step::Slice(from, to, by, is_index) = step else { return Ok(()) };
    let Value::Array(items) = value else {
        return if value.is_null() {
            Ok(())
        } else {
            Err(format!("{} is not array or slice", json::go_plain(value)))
        };
    };
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = |index: i64| if index < 0 { index + len } else { index };
    if *is_index {
        let index = from.unwrap_or(0);
        let item = usize::try_from(place(index)).ok().and_then(|at| items.get(at));
        out.push(item.ok_or_else(|| format!("array index out of bounds: index {index}, length {len}"))?);
        return Ok(());
    }
    let (from, to) = (place(from.unwrap_or(0)).max(0), place(to.unwrap_or(len)).min(len));
    let mut at = from;
    while at < to {
        out.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
        at += (*by).max(1);
    }
    Ok(())
}

fn holds(left: &Operand, operator: &str, right: &Operand, root: &Value, item: &Value) -> Outcome<bool> {
    let value = |operand: &Operand| -> Outcome<Option<Value>> {
        match operand {
            Operand::Value(value) => Ok(Some(value.clone())),
            Operand::Path(steps) => Ok(walk(steps, root, item, true)?.first().map(|value| (*value).clone())),
            Operand::None => Ok(None),
        }
    };
    let (left, right) = (value(left)?, value(right)?);
    if operator == "exists" {
        return Ok(left.is_some());
    }
    let (Some(left), Some(right)) = (left, right) else { return Ok(false) };
    let order = match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.partial_cmp(&right),
        _ => match (&left, &right) {
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            _ => None,
        },
    };
    let Some(order) = order else { return Ok(operator == "!=") };
    Ok(match operator {
        "==" | "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        other => return Err(format!("unrecognized filter operator {other}")),
    })
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Up to the end, or to the `{end}` of a range.
    fn nodes(&mut self, in_range: bool) -> Outcome<Vec<Node>> {
        let mut nodes = Vec::new();
        while !self.rest.is_empty() {
            let Some(open) = self.rest.find('{') else {
                nodes.push(Node::Text(std::mem::take(&mut self.rest).to_owned()));
                break;
            };
            if open > 0 {
                nodes.push(Node::Text(self.rest[..open].to_owned()));
            }
            self.rest = &self.rest[open + 1..];
            let action = self.action()?;
            let trimmed = action.trim();
            if trimmed == "end" {
                return if in_range { Ok(nodes) } else { Err("not in range, nothing to end".into()) };
            }
            match trimmed.strip_prefix("range").filter(|rest| rest.starts_with([' ', '.', '@', '$', '['])) {
                Some(path) => {
                    let steps = steps(path.trim())?;
                    nodes.push(Node::Range(steps, self.nodes(true)?));
                }
                None => nodes.extend(action_nodes(trimmed)?),
            }
        }
        if in_range { Err("unterminated range".into()) } else { Ok(nodes) }
    }

    /// The text up to the closing brace that stands in no quotes.
    fn action(&mut self) -> Outcome<&'a str> {
        let mut quote = None;
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            match (quote, c) {
                _ if escaped => escaped = false,
                (_, '\\') => escaped = true,
                (Some(open), c) if c == open => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, '}') => {
                    let action = &self.rest[..at];
                    self.rest = &self.rest[at + 1..];
                    return Ok(action);
                }
                _ => {}
            }
        }
        Err("unclosed action".into())
    }
}

/// Paths and quoted texts in one pair of braces.
fn action_nodes(action: &str) -> Outcome<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut rest = action.trim_start();
    while !rest.is_empty() {
        if rest.starts_with(['\'', '"']) {
            let (text, after) = quoted(rest)?;
            nodes.push(Node::Text(text));
            rest = after.trim_start();
            continue;
        }
        let end = path_end(rest);
        nodes.push(Node::Path(steps(&rest[..end])?));
        rest = rest[end..].trim_start();
    }
    Ok(nodes)
}

/// Where a path ends: at a space outside brackets.
fn path_end(text: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') if depth > 0 => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, c) if depth == 0 && (c.is_whitespace() || c == '\'' || c == '"') => return at,
            _ => {}
        }
    }
    text.len()
}

fn quoted(text: &str) -> Outcome<(String, &str)> {
    let open = text.chars().next().unwrap_or('"');
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c) => out.push(c),
                None => break,
            },
            c if c == open => return Ok((out, &text[at + 1..])),
            c => out.push(c),
        }
    }
    Err("unterminated quoted string".into())
}

fn steps(path: &str) -> Outcome<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    if !rest.is_empty() && !rest.starts_with(['.', '[', '@', '$', '*']) {
        return constant(rest).map(|value| vec![Step::Value(value)]);
    }
    while let Some(first) = rest.chars().next() {
        match first {
            '$' => {
                steps.push(Step::Root);
                rest = &rest[1..];
            }
            '@' => {
                steps.push(Step::Current);
                rest = &rest[1..];
            }
            '[' => {
                let end = bracket_end(rest)?;
                steps.push(bracket(&rest[1..end])?);
                rest = &rest[end + 1..];
            }
            '*' => {
                steps.push(Step::Every);
                rest = &rest[1..];
            }
            '.' if rest.starts_with("..") => {
                steps.push(Step::Deep);
                rest = &rest[1..];
                if rest.starts_with(".[") || rest.starts_with(".*") {
                    rest = &rest[1..];
                }
            }
            '.' => {
                let (name, after) = field_name(&rest[1..]);
                if name == "*" {
                    steps.push(Step::Every);
                } else if !name.is_empty() {
                    steps.push(Step::Field(name));
                }
                rest = after;
            }
            c => return Err(format!("unrecognized character in action: U+{:04X} {c:?}", u32::from(c))),
        }
    }
    Ok(steps)
}

/// A bare word: a number or a truth value.
fn constant(word: &str) -> Outcome<Value> {
    if let Ok(value @ (Value::Number(_) | Value::Bool(_))) = serde_json::from_str(word) {
        return Ok(value);
    }
    Err(format!("unrecognized identifier {word}"))
}

fn field_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' | ' ' | '@' | '$' => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

fn bracket_end(text: &str) -> Outcome<usize> {
    let (mut depth, mut quote) = (0usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 1 => return Ok(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    Err("unterminated array".into())
}

fn bracket(inner: &str) -> Outcome<Step> {
    let inner = inner.trim();
    if inner == "*" {
        return Ok(Step::Every);
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return self::filter(filter);
    }
    if inner.starts_with(['\'', '"']) {
        let (name, rest) = quoted(inner)?;
        if rest.trim().is_empty() {
            return Ok(Step::Field(name));
        }
    }
    if let Some(step) = index_or_slice(inner) {
        return Ok(step);
    }
    if inner.contains(',') {
        let parts: Outcome<Vec<Vec<Step>>> =
            inner.split(',').map(|part| bracket(part).map(|step| vec![step])).collect();
        return parts.map(Step::Union);
    }
    Err(format!("invalid array index {inner}"))
}

fn index_or_slice(inner: &str) -> Option<Step> {
    if let Ok(index) = inner.parse() {
        return Some(Step::Slice(Some(index), None, 1, true));
    }
    let parts: Vec<&str> = inner.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    let number = |text: &str| -> Option<Option<i64>> {
        if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
    };
    let by = parts.get(2).map_or(Some(None), |text| number(text))?.unwrap_or(1);
    Some(Step::Slice(number(parts[0])?, number(parts[1])?, by, false))
}

fn filter(text: &str) -> Outcome<Step> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '=' | '!' | '<' | '>') => {
                let end = at + text[at..].find(|c| !"=!<>".contains(c)).unwrap_or(text.len() - at);
                return Ok(Step::Filter(
                    operand(text[..at].trim())?,
                    text[at..end].to_owned(),
                    operand(text[end..].trim())?,
                ));
            }
            _ => {}
        }
    }
    Ok(Step::Filter(operand(text.trim())?, "exists".into(), Operand::None))
}

fn operand(text: &str) -> Outcome<Operand> {
    if text.starts_with(['\'', '"']) {
        return quoted(text).map(|(text, _)| Operand::Value(text.into()));
    }
    if text.starts_with(['@', '$', '.']) {
        return steps(text).map(Operand::Path);
    }
    constant(text).map(Operand::Value)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(template: &str, want: Expect) {
        let object = json!({
            "items": [
                {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "n": 1, "ok": true},
                {"metadata": {"name": "b"}, "n": 2, "list": [1, 2, 3]},
            ],
            "kind": "List",
        });
        let told = match JsonPath::parse(template).and_then(|path| path.text(&object, true)) {
            Ok(text) => text,
            Err(error) => format!("error: {error}"),
        };
        want.assert_eq(&told);
    }

    #[test]
    fn paths_print_as_upstream_prints_them() {
        check("{.kind}", expect![["List"]]);
        check("{.items[*].metadata.name}", expect![["a b"]]);
        check("{.items[*]['metadata.name', 'n']}", expect![["1 2"]]);
        check("{range .items[*]}{.metadata.name}={.n}{'\\n'}{end}", expect![["a=1\nb=2\n"]]);
        check("{.items[?(@.metadata.name==\"b\")].n}", expect![["2"]]);
        check("{.items[?(@.ok==true)].n}", expect![["1"]]);
        check("{.items[?(@.list)].metadata.name}", expect![["b"]]);
        check("{.items[0].metadata.labels.app\\.io/x}", expect![["1"]]);
        check("{.items[-1].list[0:2]}", expect![["1 2"]]);
        check("{..name}", expect![["a b"]]);
        check("{.items[5]}", expect![["error: array index out of bounds: index 5, length 2"]]);
        check("{.none}", expect![[""]]);
        check("{.kind", expect![["error: unclosed action"]]);
        check("{.items[0].metadata}", expect![[r#"{"labels":{"app.io/x":"1"},"name":"a"}"#]]);
    }
}
