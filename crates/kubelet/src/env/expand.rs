//! `$(NAME)` in commands, arguments and values.
//!
//! Upstream: third_party/forked/golang/expansion. `$$` is a dollar; a name that is not known stays as it stands.

use std::collections::BTreeMap;

pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.as_bytes().first() {
            Some(b'$') => {
                out.push('$');
                rest = &rest[1..];
            }
            Some(b'(') => rest = reference(rest, known, &mut out),
            _ => out.push('$'),
        }
    }
    out.push_str(rest);
    out
}

/// `rest` begins with `(`; what follows the reference.
fn reference<'a>(rest: &'a str, known: &BTreeMap<String, String>, out: &mut String) -> &'a str {
    let Some(end) = rest.find(')') else {
        out.push_str("$(");
        return &rest[1..];
    };
    let name = &rest[1..end];
    match known.get(name) {
        Some(value) => out.push_str(value),
        None => {
            out.push_str("$(");
            out.push_str(name);
            out.push(')');
        }
    }
    &rest[end + 1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_upstream_does() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        let cases = [
            ("$(A)", "1"),
            ("x$(A)y$(B)", "x1y$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(C)", "$(C)"),
            ("$(A", "$(A"),
            ("$", "$"),
            ("$A", "$A"),
            ("a$$", "a$"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }
}
