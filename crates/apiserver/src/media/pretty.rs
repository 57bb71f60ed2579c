//! JSON with line breaks, for people who look at it through a browser or curl.

use http::{HeaderMap, header};

use super::header_text;
use crate::request_info::{form_pairs, is_true};

/// `?pretty`, or a client that people sit in front of.
///
/// Upstream: negotiation/negotiate.go, `isPrettyPrint`.
pub fn wants_pretty(headers: &HeaderMap, query: &str) -> bool {
    if let Some((_, value)) = form_pairs(query).into_iter().find(|(key, _)| key == "pretty") {
        return is_true(&value);
    }
    let agent = header_text(headers, header::USER_AGENT);
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|people| agent.starts_with(people))
}

/// Indents by two spaces, as upstream does. `json` is compact and well-formed: the server wrote it.
pub fn pretty(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, &byte) in json.iter().enumerate() {
        if in_string {
            out.push(byte);
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            b'{' | b'[' => {
                out.push(byte);
                if !matches!(json.get(at + 1), Some(b'}' | b']')) {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                if !matches!(json.get(at.wrapping_sub(1)), Some(b'{' | b'[')) {
                    depth = depth.saturating_sub(1);
                    break_line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                break_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'\n' => {}
            _ => out.push(byte),
        }
    }
    out
}

fn break_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', depth * 2));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_as_people_expect() {
        let text = pretty(br#"{"a":[1,{"b":"x:\"{}"}],"c":{},"d":[]}"#);
        let expected = "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x:\\\"{}\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}";
        assert_eq!(String::from_utf8(text).expect("text"), expected);
    }
}
