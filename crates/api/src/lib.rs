//! The Kubernetes API as data: what every kind looks like, and the one engine that works on all of them.
//!
//! Does no I/O, keeps no state, knows nothing of HTTP. Reading order: [`schema`] (what is described), [`codec`]
//! (JSON, YAML and protobuf to values and back), [`rules`] (what a description cannot say: defaults, checks,
//! columns), [`defaults`], [`validate`] with [`field_errors`], [`table`], [`openapi`].

mod access;

pub mod apply;
pub mod codec;
pub mod custom;
pub mod defaults;
pub mod field_errors;
pub mod openapi;
pub mod patch;
pub mod quantity;
pub mod quota;
pub mod rules;
pub mod schema;
pub mod selector;
pub mod table;
pub mod validate;

pub use codec::{
    DecodeError, Decoded, Validation, decode_json, decode_protobuf, decode_value, decode_yaml, encode_json,
    encode_json_any, encode_protobuf, encode_yaml, protobuf_kind,
};
pub use defaults::apply_defaults;
pub use field_errors::{FieldError, FieldErrorKind, FieldErrors, Path};
pub use quantity::{Quantity, QuantityError};
pub use schema::{
    Enum, EnumId, Field, ListKind, Presence, Resource, ResourceRef, Schema, Shape, ShapeId, Subresource,
    Type, TypeId, TypeRef, api_version, split_api_version,
};
pub use validate::{validate_create, validate_update};
