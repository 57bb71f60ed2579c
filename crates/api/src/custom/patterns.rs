//! Go's regular expressions in the dialect of the `regex` crate: both are RE2 but for small things.

use regex::{Regex, RegexBuilder};

/// Compiled patterns may take this much memory: what Go would refuse as too large is refused.
const MOST_BYTES: usize = 4 << 20;

/// Compiles a pattern as Go reads it.
///
/// # Errors
/// What is no pattern, or too large a one.
pub fn go_regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&translate(pattern)).size_limit(MOST_BYTES).build()
}

/// Go's `\d`, `\w`, `\s` know ASCII only, and a bracket or `&&` inside of a class is nothing special.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut class_at = None;
    let mut characters = pattern.chars().peekable();
    let mut at = 0usize;
    while let Some(c) = characters.next() {
        at += 1;
        match (c, class_at) {
            ('\\', _) => {
                at += 1;
                escape(characters.next(), &mut out);
            }
            ('[', None) => {
                class_at = Some(at);
                out.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if characters.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ('[', Some(_)) if characters.peek() == Some(&':') => out.push('['),
            ('[', Some(_)) => out.push_str("\\["),
            (':', Some(_)) if characters.peek() == Some(&']') && out.contains("[:") && posix_open(&out) => {
                out.push(':');
                characters.next();
                out.push(']');
            }
            (']', Some(_)) => {
                class_at = None;
                out.push(']');
            }
            ('&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// Whether the text ends inside of `[:name`.
fn posix_open(out: &str) -> bool {
    out.rfind("[:").is_some_and(|start| out[start + 2..].chars().all(|c| c.is_ascii_alphabetic() || c == '^'))
}

fn escape(escaped: Option<char>, out: &mut String) {
    match escaped {
        Some('d') => out.push_str("[0-9]"),
        Some('D') => out.push_str("[^0-9]"),
        Some('w') => out.push_str("[0-9A-Za-z_]"),
        Some('W') => out.push_str("[^0-9A-Za-z_]"),
        Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
        Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
        Some('b') => out.push_str("(?-u:\\b)"),
        Some('B') => out.push_str("\\B"),
        // Punctuation that the other dialect has no escape for.
        Some(c) if c.is_ascii_punctuation() && c != '_' => {
            out.push('\\');
            out.push(c);
        }
        Some(c) => {
            out.push('\\');
            out.push(c);
        }
        None => out.push('\\'),
    }
}
