//! Go templates: the part that people write on a command line.
//!
//! Fields, variables, pipelines, if, range, with, comparisons, index, len, print and printf. Not there: definitions of
//! templates of one's own, methods, and everything about HTML.
//! Upstream: text/template, cli-runtime/pkg/printers/template.go.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::json;

pub struct Template {
    nodes: Vec<Node>,
}

enum Node {
    Text(String),
    Show(Pipe),
    Set(String, Pipe),
    If(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range { key: Option<String>, value: Option<String>, pipe: Pipe, body: Vec<Node>, other: Vec<Node> },
    Break,
    Continue,
}

/// Commands, each fed with what the one before gave.
type Pipe = Vec<Vec<Word>>;

#[derive(Clone, Debug)]
enum Word {
    Value(Value),
    /// A base and the fields below it.
    Path(Base, Vec<String>),
    Function(String),
    Pipe(Vec<Vec<Word>>, Vec<String>),
}

#[derive(Clone, Debug)]
enum Base {
    Dot,
    Variable(String),
}

type Outcome<T> = Result<T, String>;

/// What ends a body early.
enum Flow {
    Break,
    Continue,
    Failed(String),
}

impl From<String> for Flow {
    fn from(error: String) -> Self {
        Self::Failed(error)
    }
}

impl Template {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(source: &str) -> Outcome<Self> {
        let pieces = pieces(source)?;
        let mut parser = Parser { pieces: &pieces, at: 0 };
        let (nodes, end) = parser.nodes()?;
        if end.is_empty() {
            Ok(Self { nodes })
        } else {
            Err(format!("template: output:1: unexpected {{{{{end}}}}}"))
        }
    }

    /// # Errors
    /// A function that does not take what it was given; a missing field, where that is not allowed.
    pub fn run(&self, object: &Value, allow_missing: bool) -> Outcome<String> {
        let mut runner =
            Runner { out: String::new(), variables: vec![("$".into(), object.clone())], allow_missing };
        match runner.nodes(&self.nodes, object) {
            Ok(()) | Err(Flow::Break | Flow::Continue) => Ok(runner.out),
            Err(Flow::Failed(error)) => Err(error),
        }
    }
}

enum Piece {
    Text(String),
    Action(String),
}

/// Texts and actions; `{{-` and `-}}` eat the space beside them.
fn pieces(source: &str) -> Outcome<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = source;
    let mut trim_next = false;
    loop {
        let open = rest.find("{{");
        let mut text = &rest[..open.unwrap_or(rest.len())];
        if trim_next {
            text = text.trim_start();
        }
        let Some(open) = open else {
            pieces.push(Piece::Text(text.to_owned()));
            return Ok(pieces);
        };
        let mut inner = &rest[open + 2..];
        if let Some(trimmed) = inner.strip_prefix("- ") {
            text = text.trim_end();
            inner = trimmed;
        }
        pieces.push(Piece::Text(text.to_owned()));
        let end = action_end(inner).ok_or("template: output:1: unclosed action")?;
        let mut action = &inner[..end];
        rest = &inner[end + 2..];
        trim_next = false;
        if let Some(trimmed) = action.strip_suffix(" -") {
            action = trimmed;
            trim_next = true;
        }
        if !action.trim().starts_with("/*") {
            pieces.push(Piece::Action(action.trim().to_owned()));
        }
    }
}

fn action_end(text: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(c),
            (None, '}') if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

struct Parser<'a> {
    pieces: &'a [Piece],
    at: usize,
}

impl Parser<'_> {
    /// Nodes up to the end, or to an action that ends a body, which is given too.
    fn nodes(&mut self) -> Outcome<(Vec<Node>, String)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(action) => action.clone(),
            };
            let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
            match word {
                "end" | "else" => return Ok((nodes, action)),
                "if" => nodes.push(self.condition(rest)?),
                "with" => {
                    let (body, other) = self.bodies()?;
                    nodes.push(Node::With(pipe(rest)?, body, other));
                }
                "range" => nodes.push(self.range(rest)?),
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                _ => nodes.push(statement(&action)?),
            }
        }
        Ok((nodes, String::new()))
    }

    fn condition(&mut self, first: &str) -> Outcome<Node> {
        let mut cases = Vec::new();
        let mut test = first.to_owned();
        loop {
            let (body, end) = self.nodes()?;
            cases.push((pipe(&test)?, body));
            match end.strip_prefix("else") {
                Some(rest) => match rest.trim().strip_prefix("if ") {
                    Some(next) => test = next.to_owned(),
                    None => {
                        let (other, end) = self.nodes()?;
                        return if end == "end" { Ok(Node::If(cases, other)) } else { Err(unexpected_end()) };
                    }
                },
                None if end == "end" => return Ok(Node::If(cases, Vec::new())),
                None => return Err(unexpected_end()),
            }
        }
    }

    fn bodies(&mut self) -> Outcome<(Vec<Node>, Vec<Node>)> {
        let (body, end) = self.nodes()?;
        match end.as_str() {
            "end" => Ok((body, Vec::new())),
            "else" => {
                let (other, end) = self.nodes()?;
                if end == "end" { Ok((body, other)) } else { Err(unexpected_end()) }
            }
            _ => Err(unexpected_end()),
        }
    }

    fn range(&mut self, head: &str) -> Outcome<Node> {
        let (names, source) = head.split_once(":=").unwrap_or(("", head));
        let mut names: Vec<String> =
            names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        let value = names.pop();
        let key = names.pop();
        let (body, other) = self.bodies()?;
        Ok(Node::Range { key, value, pipe: pipe(source)?, body, other })
    }
}

fn unexpected_end() -> String {
    "template: output:1: unexpected EOF".into()
}

fn statement(action: &str) -> Outcome<Node> {
    if action.starts_with('$') {
        for sign in [":=", "="] {
            if let Some((name, source)) = action.split_once(sign)
                && name.trim()[1..].chars().all(|c| c.is_alphanumeric() || c == '_')
            {
                return Ok(Node::Set(name.trim().to_owned(), pipe(source)?));
            }
        }
    }
    pipe(action).map(Node::Show)
}

fn pipe(source: &str) -> Outcome<Pipe> {
    let mut words = Words { rest: source };
    let pipe = words.pipe()?;
    if pipe.iter().any(Vec::is_empty) {
        Err("template: output:1: missing value for command".into())
    } else {
        Ok(pipe)
    }
}

struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    fn pipe(&mut self) -> Outcome<Pipe> {
        let mut pipe = vec![Vec::new()];
        loop {
            self.rest = self.rest.trim_start();
            let Some(first) = self.rest.chars().next() else { return Ok(pipe) };
            match first {
                ')' => return Ok(pipe),
                '|' => {
                    self.rest = &self.rest[1..];
                    pipe.push(Vec::new());
                }
                _ => {
                    let word = self.word(first)?;
                    if let Some(command) = pipe.last_mut() {
                        command.push(word);
                    }
                }
            }
        }
    }

    fn word(&mut self, first: char) -> Outcome<Word> {
        match first {
            '(' => {
                self.rest = &self.rest[1..];
                let inner = self.pipe()?;
                self.rest = self.rest.strip_prefix(')').ok_or("template: output:1: unclosed left paren")?;
                let fields = self.fields();
                Ok(Word::Pipe(inner, fields))
            }
            '"' => {
                let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
                let text = stream
                    .next()
                    .and_then(Result::ok)
                    .ok_or("template: output:1: unterminated quoted string")?;
                let used = stream.byte_offset();
                self.rest = &self.rest[used..];
                Ok(Word::Value(text.into()))
            }
            '`' => {
                let (text, rest) = self.rest[1..]
                    .split_once('`')
                    .ok_or("template: output:1: unterminated raw quoted string")?;
                let word = Word::Value(text.into());
                self.rest = rest;
                Ok(word)
            }
            '$' => {
                let name = self.name(1);
                Ok(Word::Path(Base::Variable(format!("${name}")), self.fields()))
            }
            '.' => {
                if self.rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    return Ok(Word::Path(Base::Dot, self.fields()));
                }
                self.rest = &self.rest[1..];
                Ok(Word::Path(Base::Dot, Vec::new()))
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => {
                let end = self.rest[1..]
                    .find(|c: char| !c.is_ascii_digit() && c != '.')
                    .map_or(self.rest.len(), |at| at + 1);
                let number = serde_json::from_str(&self.rest[..end])
                    .map_err(|_| format!("template: output:1: bad number syntax: {:?}", &self.rest[..end]))?;
                self.rest = &self.rest[end..];
                Ok(Word::Value(number))
            }
            c if c.is_alphabetic() => Ok(match self.name(0).as_str() {
                "true" => Word::Value(true.into()),
                "false" => Word::Value(false.into()),
                "nil" => Word::Value(Value::Null),
                name if known(name) => Word::Function(name.to_owned()),
                name => return Err(format!("template: output:1: function {name:?} not defined")),
            }),
            c => Err(format!("template: output:1: unexpected {c:?} in command")),
        }
    }

    fn name(&mut self, skip: usize) -> String {
        let text = &self.rest[skip..];
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let name = text[..end].to_owned();
        self.rest = &text[end..];
        name
    }

    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while self.rest.starts_with('.')
            && self.rest[1..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            fields.push(self.name(1));
        }
        fields
    }
}

const FUNCTIONS: &[&str] = &[
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "print",
    "println",
    "printf",
    "base64decode",
    "exists",
    "slice",
    "urlquery",
    "js",
    "html",
    "join",
    "upper",
    "lower",
];

fn known(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

struct Runner {
    out: String,
    variables: Vec<(String, Value)>,
    allow_missing: bool,
}

impl Runner {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), Flow> {
        for node in nodes {
            self.node(node, dot)?;
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Show(pipe) => {
                let shown = match self.pipe(pipe, dot)? {
                    None => "<no value>".to_owned(),
                    Some(value) => json::go_plain(&value),
                };
                self.out.push_str(&shown);
            }
            Node::Set(name, pipe) => {
                let value = self.pipe(pipe, dot)?.unwrap_or(Value::Null);
                self.variables.push((name.clone(), value));
            }
            Node::If(cases, other) => {
                for (test, body) in cases {
                    if is_true(&self.pipe(test, dot)?) {
                        return self.scoped(body, dot, &[]);
                    }
                }
                self.scoped(other, dot, &[])?;
            }
            Node::With(pipe, body, other) => match self.pipe(pipe, dot)? {
                Some(value) if is_true(&Some(value.clone())) => self.scoped(body, &value, &[])?,
                _ => self.scoped(other, dot, &[])?,
            },
            Node::Range { key, value, pipe, body, other } => {
                let source = self.pipe(pipe, dot)?.unwrap_or(Value::Null);
                let pairs = pairs(&source)?;
                if pairs.is_empty() {
                    return self.scoped(other, dot, &[]);
                }
                for (index, item) in pairs {
                    let names = [(key, index), (value, item.clone())];
                    match self.scoped(body, &item, &names) {
                        Err(Flow::Break) => break,
                        Ok(()) | Err(Flow::Continue) => {}
                        Err(failed) => return Err(failed),
                    }
                }
            }
            Node::Break => return Err(Flow::Break),
            Node::Continue => return Err(Flow::Continue),
        }
        Ok(())
    }

    fn scoped(&mut self, body: &[Node], dot: &Value, names: &[(&Option<String>, Value)]) -> Result<(), Flow> {
        let known = self.variables.len();
        for (name, value) in names {
            if let Some(name) = name {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        let result = self.nodes(body, dot);
        self.variables.truncate(known);
        result
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Outcome<Option<Value>> {
        let mut last: Option<Option<Value>> = None;
        for command in pipe {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.flatten())
    }

    fn command(
        &mut self,
        command: &[Word],
        dot: &Value,
        fed: Option<Option<Value>>,
    ) -> Outcome<Option<Value>> {
        let Some((first, rest)) = command.split_first() else { return Ok(None) };
        let Word::Function(name) = first else { return self.word(first, dot) };
        let mut arguments = Vec::new();
        for word in rest {
            arguments.push(self.word(word, dot)?);
        }
        arguments.extend(fed);
        call(name, &arguments)
    }

    fn word(&mut self, word: &Word, dot: &Value) -> Outcome<Option<Value>> {
        let (base, fields) = match word {
            Word::Value(value) => return Ok(Some(value.clone())),
            Word::Function(name) => return call(name, &[]),
            Word::Path(Base::Dot, fields) => (Some(dot.clone()), fields),
            Word::Path(Base::Variable(name), fields) => {
                let known = self.variables.iter().rev().find(|(own, _)| own == name);
                let value =
                    known.ok_or_else(|| format!("template: output:1: undefined variable {name:?}"))?;
                (Some(value.1.clone()), fields)
            }
            Word::Pipe(pipe, fields) => (self.pipe(pipe, dot)?, fields),
        };
        fields.iter().try_fold(base, |value, name| self.field(value, name))
    }

    fn field(&self, value: Option<Value>, name: &str) -> Outcome<Option<Value>> {
        match value {
            Some(Value::Object(mut map)) => match map.remove(name) {
                Some(value) => Ok(Some(value)),
                None if self.allow_missing => Ok(None),
                None => Err(format!(
                    "template: output:1:2: executing \"output\" at <.{name}>: map has no entry for key {name:?}"
                )),
            },
            None | Some(Value::Null) => Ok(None),
            Some(other) => Err(format!(
                "template: output:1:2: executing \"output\" at <.{name}>: can't evaluate field {name} in type {}",
                go_type(&other)
            )),
        }
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => "interface {}",
    }
}

fn pairs(source: &Value) -> Outcome<Vec<(Value, Value)>> {
    match source {
        Value::Array(items) => {
            Ok(items.iter().enumerate().map(|(index, item)| (index.into(), item.clone())).collect())
        }
        Value::Object(map) => {
            Ok(map.iter().map(|(name, value)| (name.clone().into(), value.clone())).collect())
        }
        Value::Null => Ok(Vec::new()),
        Value::Number(number) => {
            Ok((0..number.as_u64().unwrap_or(0)).map(|n| (n.into(), n.into())).collect())
        }
        other => Err(format!(
            "template: output:1:8: executing \"output\": range can't iterate over {}",
            json::go_plain(other)
        )),
    }
}

fn is_true(value: &Option<Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
    }
}

fn call(name: &str, arguments: &[Option<Value>]) -> Outcome<Option<Value>> {
    let failed =
        |text: &str| format!("template: output:1: executing \"output\": error calling {name}: {text}");
    let first = arguments.first().cloned().flatten();
    let second = arguments.get(1).cloned().flatten();
    let text = |value: &Option<Value>| value.as_ref().map(json::go_plain).unwrap_or_default();
    let texts = || {
        arguments
            .iter()
            .map(|value| value.as_ref().map_or("<no value>".into(), json::go_plain))
            .collect::<Vec<String>>()
    };
    Ok(Some(match name {
        "and" => {
            return Ok(arguments
                .iter()
                .find(|value| !is_true(value))
                .or(arguments.last())
                .cloned()
                .flatten());
        }
        "or" => {
            return Ok(arguments.iter().find(|value| is_true(value)).or(arguments.last()).cloned().flatten());
        }
        "not" => (!is_true(&first)).into(),
        "eq" => arguments.iter().skip(1).any(|value| order(&first, value) == Some(Ordering::Equal)).into(),
        "ne" => (order(&first, &second) != Some(Ordering::Equal)).into(),
        "lt" | "le" | "gt" | "ge" => {
            let order = order(&first, &second).ok_or_else(|| failed("incompatible types for comparison"))?;
            match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }
            .into()
        }
        "len" => match &first {
            Some(Value::Array(items)) => items.len().into(),
            Some(Value::Object(map)) => map.len().into(),
            Some(Value::String(text)) => text.len().into(),
            _ => return Err(failed("len of nil pointer")),
        },
        "index" => return index(first, &arguments[1.min(arguments.len())..]).map_err(|error| failed(&error)),
        "exists" => {
            index(first, &arguments[1.min(arguments.len())..]).is_ok_and(|found| found.is_some()).into()
        }
        "print" => texts().concat().into(),
        "println" => format!("{}\n", texts().join(" ")).into(),
        "printf" => printf(&text(&first), &arguments[1.min(arguments.len())..]).into(),
        "base64decode" => {
            let bytes = STANDARD.decode(text(&first)).map_err(|error| failed(&error.to_string()))?;
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        "urlquery" => crate::text::escape_query(&text(&first)).into(),
        "upper" => text(&first).to_uppercase().into(),
        "lower" => text(&first).to_lowercase().into(),
        other => return Err(failed(&format!("{other} is not supported"))),
    }))
}

fn order(a: &Option<Value>, b: &Option<Value>) -> Option<Ordering> {
    match (a.as_ref().unwrap_or(&Value::Null), b.as_ref().unwrap_or(&Value::Null)) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (a, b) => (a == b).then_some(Ordering::Equal),
    }
}

fn index(base: Option<Value>, keys: &[Option<Value>]) -> Outcome<Option<Value>> {
    let mut value = base;
    for key in keys {
        value = match (value, key) {
            (Some(Value::Object(map)), Some(Value::String(name))) => map.get(name).cloned(),
            (Some(Value::Array(items)), Some(Value::Number(number))) => {
                let at = number.as_u64().and_then(|at| usize::try_from(at).ok());
                let item = at.and_then(|at| items.get(at)).cloned();
                Some(item.ok_or_else(|| format!("index out of range: {number}"))?)
            }
            (None | Some(Value::Null), _) => return Err("index of untyped nil".into()),
            (Some(other), _) => return Err(format!("can't index item of type {}", go_type(&other))),
        };
    }
    Ok(value)
}

fn printf(format: &str, arguments: &[Option<Value>]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let spec = &rest[at + 1..];
        let end = spec.find(|c: char| c.is_alphabetic() || c == '%').unwrap_or(spec.len().saturating_sub(1));
        let (flags, verb) = (&spec[..end], spec[end..].chars().next().unwrap_or('v'));
        rest = &spec[(end + verb.len_utf8()).min(spec.len())..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let shown = match arguments.next() {
            None => format!("%!{verb}(MISSING)"),
            Some(value) => one(verb, flags, value.as_ref().unwrap_or(&Value::Null)),
        };
        let width: usize = flags
            .trim_start_matches(['-', '0', '+'])
            .split('.')
            .next()
            .and_then(|w| w.parse().ok())
            .unwrap_or(0);
        match flags.starts_with('-') {
            true => out.push_str(&format!("{shown:<width$}")),
            false if flags.starts_with('0') => out.push_str(&format!("{shown:0>width$}")),
            false => out.push_str(&format!("{shown:>width$}")),
        }
    }
    out.push_str(rest);
    out
}

fn one(verb: char, flags: &str, value: &Value) -> String {
    match (verb, value) {
        ('q', Value::String(text)) => format!("{text:?}"),
        ('f', Value::Number(number)) => {
            let places = flags.split_once('.').and_then(|(_, places)| places.parse().ok()).unwrap_or(6);
            format!("{:.places$}", number.as_f64().unwrap_or(0.0))
        }
        ('d', Value::String(text)) => format!("%!d(string={text})"),
        ('s', Value::Number(number)) => format!("%!s(int64={number})"),
        ('T', value) => go_type(value).to_owned(),
        (_, value) => json::go_plain(value),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(template: &str, want: Expect) {
        let object =
            json!({"kind": "List", "items": [{"n": "a", "v": 1}, {"n": "b", "v": 2}], "m": {"x-y": "aGk="}});
        let told = Template::parse(template).and_then(|template| template.run(&object, true));
        want.assert_eq(&told.unwrap_or_else(|error| format!("error: {error}")));
    }

    #[test]
    fn templates_run_as_go_runs_them() {
        check("{{.kind}} {{.none}}", expect![["List <no value>"]]);
        check("{{range .items}}{{.n}}={{.v}} {{end}}", expect![["a=1 b=2 "]]);
        check("{{range $i, $e := .items}}{{$i}}{{$e.n}}{{$.kind}}{{end}}", expect![["0aList1bList"]]);
        check(
            "{{range .items}}{{if eq .n \"a\"}}A{{else if gt .v 1}}B{{else}}C{{end}}{{end}}",
            expect![["AB"]],
        );
        check("{{index .m \"x-y\" | base64decode}}", expect![["hi"]]);
        check("{{len .items}}{{with .m}}{{.}}{{end}}", expect![["2map[x-y:aGk=]"]]);
        check("a {{- \" b \" -}} c", expect![["a b c"]]);
        check("{{$x := 5}}{{printf \"%03d|%-4s|%q\" $x \"a\" \"b\"}}", expect![["005|a   |\"b\""]]);
        check("{{range .none}}x{{else}}empty{{end}}", expect![["empty"]]);
        check("{{if and .kind (not .none)}}yes{{end}}", expect![["yes"]]);
        check("{{bogus}}", expect![["error: template: output:1: function \"bogus\" not defined"]]);
    }
}
