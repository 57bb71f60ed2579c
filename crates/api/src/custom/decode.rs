//! Bytes to custom objects: any tree, with its metadata as all objects have it, and nothing that its schema does not
//! know.
//!
//! Types are validation's business: a text where a number should be is a custom object all the same.

use serde_json::{Value, json};

use super::pruning::prune;
use super::structural::Structural;
use crate::codec::{DecodeError, Decoded, Validation, decode_any, decode_value, yaml_tree};
use crate::schema::{Schema, TypeRef};

/// Reads JSON.
///
/// # Errors
/// What is no JSON, and in strict reading what the schema does not know.
pub fn decode_custom_json(
    schema: &Structural,
    bytes: &[u8],
    validation: Validation,
) -> Result<Decoded, DecodeError> {
    let Decoded { value, warnings } = decode_any(bytes, lenient(validation))?;
    finish(schema, value, warnings, validation)
}

/// Reads YAML.
///
/// # Errors
/// As [`decode_custom_json`].
pub fn decode_custom_yaml(
    schema: &Structural,
    bytes: &[u8],
    validation: Validation,
) -> Result<Decoded, DecodeError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| DecodeError::Malformed("yaml: invalid leading UTF-8 octet".into()))?;
    let (value, duplicates) = yaml_tree(text)?;
    let warnings = if validation == Validation::Ignore { Vec::new() } else { duplicates };
    finish(schema, value, warnings, validation)
}

/// Reads a tree that was made from an object, by a patch say.
///
/// # Errors
/// As [`decode_custom_json`].
pub fn reread_custom(
    schema: &Structural,
    tree: &Value,
    validation: Validation,
) -> Result<Decoded, DecodeError> {
    finish(schema, tree.clone(), Vec::new(), validation)
}

/// Problems are gathered and told together.
fn lenient(validation: Validation) -> Validation {
    if validation == Validation::Strict { Validation::Warn } else { validation }
}

fn finish(
    schema: &Structural,
    mut value: Value,
    mut problems: Vec<String>,
    validation: Validation,
) -> Result<Decoded, DecodeError> {
    if value.is_object() {
        read_metadata(&mut value, &mut problems, validation)?;
    }
    let unknown = prune(schema, &mut value);
    if validation != Validation::Ignore {
        problems.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    }
    if validation == Validation::Strict && !problems.is_empty() {
        return Err(DecodeError::Strict(problems));
    }
    Ok(Decoded { value, warnings: problems })
}

fn metadata_type() -> TypeRef<'static> {
    Schema::builtin().named("meta/v1", "PartialObjectMetadata").expect("described in meta/v1")
}

fn read_metadata(
    object: &mut Value,
    problems: &mut Vec<String>,
    validation: Validation,
) -> Result<(), DecodeError> {
    let mut part = json!({});
    for field in ["apiVersion", "kind", "metadata"] {
        if let Some(value) = object.get(field) {
            part[field] = value.clone();
        }
    }
    let decoded = decode_value(metadata_type(), &part, lenient(validation))?;
    problems.extend(decoded.warnings);
    if let Value::Object(fields) = decoded.value {
        for field in ["apiVersion", "kind", "metadata"] {
            object[field] = fields.get(field).cloned().unwrap_or(Value::Null);
        }
        if let Some(object) = object.as_object_mut() {
            object.retain(|name, value| {
                !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") || !value.is_null()
            });
        }
    }
    Ok(())
}
