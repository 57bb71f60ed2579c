//! The patches of the API: JSON patch, JSON merge patch, strategic merge patch. (Apply is in its own module.)

mod strategic;

pub use strategic::strategic;

use serde_json::Value;

/// Why a patch cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not what its content type says: 400.
    #[error("{0}")]
    Malformed(String),
    /// It is, but does not fit the object: 422.
    #[error("{0}")]
    Unprocessable(String),
}

/// Operations that upstream allows in one JSON patch.
const MOST_OPERATIONS: usize = 10_000;

/// RFC 6902.
pub fn json(object: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let operations: Vec<Value> = serde_json::from_slice(patch).map_err(|error| malformed(&error))?;
    if operations.len() > MOST_OPERATIONS {
        return Err(PatchError::Malformed(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let mut patched = object.clone();
    for operation in operations {
        let parsed: json_patch::PatchOperation =
            serde_json::from_value(operation.clone()).map_err(|error| malformed(&error))?;
        // Upstream removes what is not there without complaint only in merge patches; here it is an error.
        json_patch::patch(&mut patched, &[parsed]).map_err(|error| refused(&operation, &error))?;
    }
    *object = patched;
    Ok(())
}

fn malformed(error: &serde_json::Error) -> PatchError {
    PatchError::Malformed(format!("error decoding patch: {error}"))
}

/// The words of upstream's patch library.
fn refused(operation: &Value, error: &json_patch::PatchError) -> PatchError {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let path = text("path");
    PatchError::Unprocessable(match (text("op"), &error.kind) {
        ("test", _) => format!("testing value {path} failed: test failed"),
        ("remove", _) => {
            format!("remove operation does not apply: doc is missing path: {path}: missing value")
        }
        ("replace", _) => {
            format!("replace operation does not apply: doc is missing key: {path}: missing value")
        }
        ("add", _) => format!("add operation does not apply: doc is missing path: \"{path}\": missing value"),
        ("copy", _) => format!(
            "copy operation does not apply: doc is missing from path: {}: missing value",
            text("from")
        ),
        ("move", _) => format!(
            "move operation does not apply: doc is missing from path: {}: missing value",
            text("from")
        ),
        (_, _) => error.to_string(),
    })
}

/// RFC 7386.
pub fn merge(object: &mut Value, patch: &[u8]) -> Result<(), PatchError> {
    let patch: Value = serde_json::from_slice(patch).map_err(|error| malformed(&error))?;
    if !patch.is_object() {
        return Err(PatchError::Malformed(
            "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
                .into(),
        ));
    }
    json_patch::merge(object, &patch);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_operation_changes_nothing() {
        let mut object = json!({"a": 1});
        let error = super::json(
            &mut object,
            br#"[{"op":"replace","path":"/a","value":2},{"op":"test","path":"/a","value":1}]"#,
        );
        assert_eq!(error, Err(PatchError::Unprocessable("testing value /a failed: test failed".into())));
        assert_eq!(object, json!({"a": 1}));
    }

    #[test]
    fn null_removes_in_a_merge() {
        let mut object = json!({"a": {"b": 1, "c": 2}});
        merge(&mut object, br#"{"a":{"b":null}}"#).expect("merges");
        assert_eq!(object, json!({"a": {"c": 2}}));
    }
}
