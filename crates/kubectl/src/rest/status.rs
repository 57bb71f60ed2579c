//! A failure as the server tells it.

use serde_json::Value;

use super::Ask;

#[derive(Clone, Debug, Default)]
pub struct Status {
    pub code: u16,
    pub reason: String,
    pub message: String,
    pub has_details: bool,
    pub kind: String,
    pub name: String,
    /// `field: message`, or the message alone.
    pub causes: Vec<String>,
}

impl Status {
    /// An answer with `code`: a Status object, or anything else that a proxy may have said.
    pub fn read(code: u16, body: &[u8], ask: &Ask) -> Self {
        // What is no JSON is told by its code.
        let object: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if object["kind"] == "Status" && object["message"].is_string() {
            return Self::of(&object);
        }
        Self::unknown(code, body, ask)
    }

    /// From a Status object.
    pub fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let details = &object["details"];
        let causes = details["causes"].as_array().cloned().unwrap_or_default();
        Self {
            code: object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(0),
            reason: text(&object["reason"]),
            message: text(&object["message"]),
            has_details: details.is_object(),
            kind: text(&details["kind"]),
            name: text(&details["name"]),
            causes: causes
                .iter()
                .map(|cause| match text(&cause["field"]) {
                    field if field.is_empty() => text(&cause["message"]),
                    field => format!("{field}: {}", text(&cause["message"])),
                })
                .collect(),
        }
    }

    fn unknown(code: u16, body: &[u8], ask: &Ask) -> Self {
        let verb = ask.method.as_str().to_lowercase();
        let said = String::from_utf8_lossy(body);
        let said = said.trim();
        let (reason, message) = match code {
            401 => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
            403 => ("Forbidden", if said.is_empty() { "forbidden".into() } else { said.to_owned() }),
            404 => ("NotFound", "the server could not find the requested resource".to_owned()),
            405 => (
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource".to_owned(),
            ),
            406 => (
                "NotAcceptable",
                "the server was unable to respond with a content type that the client supports".to_owned(),
            ),
            429 => (
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later".to_owned(),
            ),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
            500.. => (
                "InternalError",
                format!("an error on the server ({said:?}) has prevented the request from succeeding"),
            ),
            _ => (
                "",
                format!(
                    "the server responded with the status code {code} but did not return more information ({verb})"
                ),
            ),
        };
        Self { code, reason: reason.into(), message, ..Self::default() }
    }
}

/// The text of a `299` warning header.
pub fn warning_text(header: &str) -> Option<String> {
    let rest = header.strip_prefix("299 ")?;
    let quoted = &rest[rest.find('"')? + 1..];
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(text),
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    None
}
