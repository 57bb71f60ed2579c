//! `app=web,tier in (a, b),!canary`.
//!
//! Upstream: apimachinery/pkg/labels/selector.go.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: BTreeSet<String>,
}

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    pub requirements: Vec<Requirement>,
}

/// Upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LabelSelectorError(String);

fn error<T>(message: impl Into<String>) -> Result<T, LabelSelectorError> {
    Err(LabelSelectorError(message.into()))
}

impl LabelSelector {
    pub fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        Parser { tokens: tokens(text).into_iter().peekable() }.selector()
    }

    /// From the object form of the API: matchLabels and matchExpressions.
    pub fn from_value(selector: &Value) -> Result<Self, LabelSelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(requirement(
                key.clone(),
                Operator::In,
                [value.as_str().unwrap_or_default().to_owned()].into(),
            )?);
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return error(format!("{other:?} is not a valid label selector operator")),
            };
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let values: BTreeSet<String> = values;
            check_count(operator, &values)?;
            requirements.push(requirement(text("key").to_owned(), operator, values)?);
        }
        Ok(Self { requirements })
    }

    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// `value_of` gives a label's value.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(value_of(&requirement.key)))
    }

    /// The same for labels as they stand in an object.
    pub fn matches_value(&self, labels: Option<&Value>) -> bool {
        self.matches(|key| labels?.get(key)?.as_str())
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.contains(value);
        let compared = |holds: fn(i64, i64) -> bool| {
            let bound = self.values.first().and_then(|bound| bound.parse().ok());
            let value = value.and_then(|value| value.parse().ok());
            value.zip(bound).is_some_and(|(value, bound)| holds(value, bound))
        };
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compared(|value, bound| value > bound),
            Operator::LessThan => compared(|value, bound| value < bound),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 9] = ["!=", "==", "=", "!", "(", ")", ",", ">", "<"];

fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "=!(),><".contains(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    tokens
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

impl Parser {
    fn selector(mut self) -> Result<LabelSelector, LabelSelectorError> {
        let mut requirements = Vec::new();
        if self.tokens.peek().is_none() {
            return Ok(LabelSelector::default());
        }
        loop {
            if let Some(found) = self.tokens.next_if(|token| !starts_requirement(token)) {
                return error(format!(
                    "found '{}', expected: !, identifier, or 'end of string'",
                    told(&found)
                ));
            }
            let requirement = self.requirement().map_err(|LabelSelectorError(message)| {
                LabelSelectorError(format!("unable to parse requirement: {message}"))
            })?;
            requirements.push(requirement);
            match self.tokens.next() {
                None => break,
                Some(Token::Symbol(",")) => {
                    let next = self.tokens.peek();
                    if !next.is_some_and(starts_requirement) {
                        let found = next.map(told).unwrap_or_default();
                        return error(format!("found '{found}', expected: identifier after ','"));
                    }
                }
                Some(other) => {
                    return error(format!("found '{}', expected: ',' or 'end of string'", told(&other)));
                }
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements })
    }

    fn requirement(&mut self) -> Result<Requirement, LabelSelectorError> {
        let negated = self.tokens.next_if_eq(&Token::Symbol("!")).is_some();
        let key = match self.tokens.next() {
            Some(Token::Word(key)) => key,
            other => {
                let found = other.as_ref().map(told).unwrap_or_default();
                return error(format!("found '{found}', expected: identifier"));
            }
        };
        if negated {
            return requirement(key, Operator::DoesNotExist, BTreeSet::new());
        }
        let operator = match self.tokens.peek() {
            None | Some(Token::Symbol(",")) => return requirement(key, Operator::Exists, BTreeSet::new()),
            Some(_) => self.tokens.next().expect("peeked"),
        };
        match operator {
            Token::Symbol("=" | "==") => self.single(key, Operator::In),
            Token::Symbol("!=") => self.single(key, Operator::NotIn),
            Token::Symbol(">") => self.single(key, Operator::GreaterThan),
            Token::Symbol("<") => self.single(key, Operator::LessThan),
            Token::Word(word) if word == "in" => self.set(key, Operator::In),
            Token::Word(word) if word == "notin" => self.set(key, Operator::NotIn),
            other => error(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", told(&other))),
        }
    }

    fn single(&mut self, key: String, operator: Operator) -> Result<Requirement, LabelSelectorError> {
        let value = match self.tokens.peek() {
            None | Some(Token::Symbol(",")) => String::new(),
            Some(Token::Word(_)) => match self.tokens.next() {
                Some(Token::Word(value)) => value,
                _ => String::new(),
            },
            Some(other) => return error(format!("found '{}', expected: identifier", told(other))),
        };
        requirement(key, operator, [value].into())
    }

    fn set(&mut self, key: String, operator: Operator) -> Result<Requirement, LabelSelectorError> {
        match self.tokens.next() {
            Some(Token::Symbol("(")) => {}
            other => {
                return error(format!(
                    "found '{}' expected: '('",
                    other.as_ref().map(told).unwrap_or_default()
                ));
            }
        }
        let mut values = BTreeSet::new();
        loop {
            let value = match self.tokens.peek() {
                Some(Token::Word(_)) => match self.tokens.next() {
                    Some(Token::Word(value)) => value,
                    _ => String::new(),
                },
                _ => String::new(),
            };
            values.insert(value);
            match self.tokens.next() {
                Some(Token::Symbol(",")) => {}
                Some(Token::Symbol(")")) => return requirement(key, operator, values),
                other => {
                    return error(format!(
                        "found '{}', expected: ',' or ')'",
                        other.as_ref().map(told).unwrap_or_default()
                    ));
                }
            }
        }
    }
}

/// In the object form only: the string form's `()` is one empty value.
fn check_count(operator: Operator, values: &BTreeSet<String>) -> Result<(), LabelSelectorError> {
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => {
            error("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty")
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            let told = values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(",");
            error(format!(
                "values: Invalid value: [{told}]: values set must be empty for exists and does not exist"
            ))
        }
        _ => Ok(()),
    }
}

fn starts_requirement(token: &Token) -> bool {
    matches!(token, Token::Word(_) | Token::Symbol("!"))
}

fn told(token: &Token) -> String {
    match token {
        Token::Word(word) => word.clone(),
        Token::Symbol(symbol) => (*symbol).to_owned(),
    }
}

fn requirement(
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
) -> Result<Requirement, LabelSelectorError> {
    if !is_label_key(&key) {
        return error(format!(
            "<nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ));
    }
    for value in &values {
        if !is_label_value(value) {
            return error(format!(
                "values[0][{key}]: Invalid value: {value:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ));
        }
    }
    let numeric = matches!(operator, Operator::GreaterThan | Operator::LessThan);
    if numeric && values.iter().any(|value| value.parse::<i64>().is_err()) {
        return error("values[0]: Invalid value: for 'Gt', 'Lt' operators, the value must be an integer");
    }
    Ok(Requirement { key, operator, values })
}

fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
    };
    prefix.is_none_or(is_prefix) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && edge(value.chars().next())
        && edge(value.chars().last())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_pick_as_upstream() {
        let labels = json!({"app": "web", "n": "5"});
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=web", true),
            ("app==web", true),
            ("app!=web", false),
            ("app in (web, db)", true),
            ("app notin (web)", false),
            ("tier notin (a)", true),
            ("tier!=a", true),
            ("n>4", true),
            ("n<4", false),
            ("app=web,n", true),
            ("app in ()", false),
            ("app=", false),
        ] {
            let parsed = LabelSelector::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
            assert_eq!(parsed.matches_value(Some(&labels)), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for (selector, expected) in [
            ("app in web", "unable to parse requirement: found 'web' expected: '('"),
            ("app,", "found '', expected: identifier after ','"),
            ("app,=a", "found '=', expected: identifier after ','"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("!=a", "found '!=', expected: !, identifier, or 'end of string'"),
            ("! ", "unable to parse requirement: found '', expected: identifier"),
            ("app=a b", "found 'b', expected: ',' or 'end of string'"),
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ] {
            let error = LabelSelector::parse(selector).expect_err(selector);
            assert_eq!(error.to_string(), expected, "{selector}");
        }
        let error = LabelSelector::parse("app=-x").expect_err("a bad value").to_string();
        assert!(error.starts_with("unable to parse requirement: values[0][app]: Invalid value: "), "{error}");
    }

    #[test]
    fn the_object_form_counts_values() {
        let of = |operator: &str, values: &[&str]| {
            let selector =
                json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
            LabelSelector::from_value(&selector).map_or_else(|error| error.to_string(), |_| "fine".into())
        };
        assert_eq!((of("In", &["x"]).as_str(), of("Exists", &[]).as_str()), ("fine", "fine"));
        assert!(of("In", &[]).ends_with("values set can't be empty"));
        assert!(of("Exists", &["x"]).starts_with("values: Invalid value: [\"x\"]: values set must be empty"));
    }
}
