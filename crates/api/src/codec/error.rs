//! Why bytes are no object.

use serde_json::Value;

/// Objects in objects that any decoder follows; serde_json's own limit.
pub(super) const MOST_DEPTH: usize = 128;

/// What becomes of unknown and duplicate fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    Ignore,
    /// Dropped, and told.
    Warn,
    /// Refused.
    Strict,
}

/// A decoded object and what its sender should know.
#[derive(Debug)]
pub struct Decoded {
    pub value: Value,
    /// `unknown field "spec.foo"`, `duplicate field "data.k"`.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not of the type; upstream's words of Go's decoder.
    #[error("{0}")]
    Malformed(String),
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NotProtobuf,
    #[error("proto: {0}")]
    Protobuf(&'static str),
}
