//! Objects as bytes: JSON, YAML and protobuf to values and back, driven by the schema.
//!
//! Reading order: [`error`], [`scalar`], [`json_decode`], [`json_encode`], [`wire`], [`proto_encode`],
//! [`proto_decode`].

mod error;
mod json_decode;
mod json_encode;
mod proto_decode;
mod proto_encode;
mod scalar;
mod wire;
mod yaml;

pub use error::{DecodeError, Decoded, Validation};
pub use json_decode::{decode_any, decode_json, decode_value};
pub(crate) use json_encode::as_written;
pub use json_encode::{encode_json, encode_json_any, write_json_string};
pub use proto_decode::{decode_protobuf, decode_protobuf_message, protobuf_kind, protobuf_raw};
pub use proto_encode::{encode_protobuf, encode_protobuf_message, envelope, put_list_item};
pub use yaml::{decode_yaml, encode_yaml, yaml_tree};

#[cfg(test)]
mod tests;
