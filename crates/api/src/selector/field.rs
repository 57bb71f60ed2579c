//! `metadata.name=a,status.phase!=Running`.
//!
//! Upstream: apimachinery/pkg/fields.

/// All terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    pub terms: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub field: String,
    pub value: String,
    /// Equal, rather than not equal.
    pub equal: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term { selector: String, term: String },
    #[error("invalid escape sequence: {0}")]
    Escape(String),
}

impl FieldSelector {
    pub fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let mut terms = Vec::new();
        for term in split(text).into_iter().filter(|term| !term.is_empty()) {
            let (field, equal, value) = operator(&term)
                .ok_or_else(|| FieldSelectorError::Term { selector: text.to_owned(), term: term.clone() })?;
            terms.push(FieldTerm { field: field.to_owned(), value: unescape(value)?, equal });
        }
        Ok(Self { terms })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// `value_of` gives a field's value; a field that is not there is empty.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> bool {
        self.terms
            .iter()
            .all(|term| (value_of(&term.field).as_deref().unwrap_or("") == term.value) == term.equal)
    }

    /// The value that `field` must have, if one term asks for exactly one.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> Vec<String> {
    let (mut terms, mut term, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if c == ',' && !escaped {
            terms.push(std::mem::take(&mut term));
        } else {
            term.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(term);
    terms
}

fn operator(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.char_indices().find_map(|(at, _)| {
        let rest = &term[at..];
        ["!=", "==", "="].iter().find(|operator| rest.starts_with(**operator)).map(|operator| (at, *operator))
    })?;
    Some((&term[..at.0], at.1 != "!=", &term[at.0 + at.1.len()..]))
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    return Err(FieldSelectorError::Escape(format!(
                        "\\{}",
                        other.map(String::from).unwrap_or_default()
                    )));
                }
            },
            ',' | '=' => return Err(FieldSelectorError::Escape(c.to_string())),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_hold_together() {
        let selector = FieldSelector::parse("metadata.name=a,status.phase!=Running").expect("a selector");
        let object = |field: &str| (field == "metadata.name").then(|| "a".into());
        assert!(selector.matches(object));
        assert_eq!(selector.exact("metadata.name"), Some("a"));
        assert!(!FieldSelector::parse("metadata.name==b").expect("a selector").matches(object));
        assert_eq!(
            FieldSelector::parse("x").expect_err("no operator").to_string(),
            "invalid selector: 'x'; can't understand 'x'"
        );
        assert_eq!(FieldSelector::parse(r"a=b\,c").expect("escaped").terms[0].value, "b,c");
    }
}
