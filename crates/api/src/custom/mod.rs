//! Custom resources: the schema that a CustomResourceDefinition gives, and what it means for objects.
//!
//! A custom object is a JSON tree. It is read without types, pruned, defaulted and checked by its [`Structural`]
//! schema; [`compile`] makes a [`crate::Schema`] of it for everything that works on types: server-side apply (with the
//! list kinds), OpenAPI, discovery. An object's fields that are not in its type are of schemas with
//! x-kubernetes-preserve-unknown-fields, and count as any JSON.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/{schema,validation}.

mod compile;
mod decode;
mod defaulting;
mod definition;
mod formats;
mod lists;
mod patterns;
mod pruning;
mod published;
mod structural;
mod structure;
#[cfg(test)]
mod tests;
mod validation;

pub use compile::{KindNames, compile};
pub use decode::{decode_custom_json, decode_custom_yaml, reread_custom};
pub use defaulting::apply_custom_defaults;
pub use definition::{check_definition, check_definition_update, simple_path};
pub use formats::is_format;
pub use patterns::go_regex;
pub use pruning::prune;
pub use published::definition as published_definition;
pub use structural::{Additional, Checks, Rule, Structural};
pub use validation::{validate_custom, validate_custom_update};
