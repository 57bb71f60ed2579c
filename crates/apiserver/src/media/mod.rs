//! Media types: what a client sends and what it accepts.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/negotiation.

mod accept;
mod pretty;

pub use accept::{Accepted, Encoding, Form, Forms, accept};
pub use pretty::{pretty, wants_pretty};

use http::{HeaderMap, header};

use crate::error::{ApiError, Result};

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What can be read and written, in upstream's order.
pub const ALL: [&str; 3] = [JSON, YAML, PROTOBUF];

/// The encoding of a request's body; JSON if the client does not say.
pub fn content_encoding(headers: &HeaderMap) -> Result<Encoding> {
    match content_type(headers).as_str() {
        "" | JSON => Ok(Encoding::Json),
        YAML => Ok(Encoding::Yaml),
        PROTOBUF => Ok(Encoding::Protobuf),
        _ => Err(ApiError::unsupported_media_type(&ALL)),
    }
}

/// The media type of the body without its parameters.
pub fn content_type(headers: &HeaderMap) -> String {
    let text = header_text(headers, header::CONTENT_TYPE);
    text.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// A header's text; empty if it is absent or no text, which the caller treats alike.
pub fn header_text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}
