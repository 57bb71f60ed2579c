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
        // A failed operation leaves the document as it met it.
        json_patch::patch(&mut patched, &[parsed]).map_err(|error| refused(&patched, &operation, &error))?;
    }
    *object = patched;
    Ok(())
}

fn malformed(error: &serde_json::Error) -> PatchError {
    PatchError::Malformed(format!("error decoding patch: {error}"))
}

/// The words of upstream's patch library. `document` is what the operation met.
fn refused(document: &Value, operation: &Value, error: &json_patch::PatchError) -> PatchError {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let (path, from) = (text("path"), text("from"));
    let has_parent = parent_and_key(document, path).0.is_some();
    let why = || no_such_key(document, path);
    PatchError::Unprocessable(match text("op") {
        "test" if has_parent => format!("testing value {path} failed: test failed"),
        "test" => format!("test operation does not apply: is missing path: {path}: missing value"),
        op @ ("add" | "remove") if has_parent => format!("error in {op} for path: '{path}': {}", why()),
        op @ ("add" | "remove") => {
            format!("{op} operation does not apply: doc is missing path: \"{path}\": missing value")
        }
        "replace" if has_parent => {
            format!("replace operation does not apply: doc is missing key: {path}: missing value")
        }
        "replace" => format!("replace operation does not apply: doc is missing path: {path}: missing value"),
        op @ ("copy" | "move") if document.pointer(from).is_some() => {
            format!("{op} operation does not apply: doc is missing destination path: {path}: missing value")
        }
        op @ ("copy" | "move") => {
            format!("{op} operation does not apply: doc is missing from path: {from}: missing value")
        }
        _ => error.to_string(),
    })
}

/// The object or list that holds what `path` names, and the name in it.
fn parent_and_key<'a, 'b>(document: &'a Value, path: &'b str) -> (Option<&'a Value>, &'b str) {
    let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
    (document.pointer(parent).filter(|parent| parent.is_object() || parent.is_array()), key)
}

fn no_such_key(document: &Value, path: &str) -> String {
    match parent_and_key(document, path) {
        (Some(Value::Array(_)), key) => match key.parse::<i64>() {
            Ok(index) => format!("Unable to access invalid index: {index}: invalid index referenced"),
            Err(_) => format!("strconv.Atoi: parsing {key:?}: invalid syntax"),
        },
        (_, key) => format!(
            "unable to remove nonexistent key: {}: missing value",
            key.replace("~1", "/").replace("~0", "~")
        ),
    }
}

/// A tree as Go's `%v` prints it, for upstream's messages.
fn go_text(value: &Value) -> String {
    let join = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", join(items.iter().map(go_text).collect())),
        Value::Object(map) => {
            let entries = map.iter().map(|(name, value)| format!("{name}:{}", go_text(value)));
            format!("map[{}]", join(entries.collect()))
        }
        value => value.to_string(),
    }
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
    fn operations_are_refused_in_upstreams_words() {
        for (operation, expected) in [
            (
                json!({"op": "remove", "path": "/a/x~1y"}),
                "error in remove for path: '/a/x~1y': unable to remove nonexistent key: x/y: missing value",
            ),
            (
                json!({"op": "remove", "path": "/x/y"}),
                "remove operation does not apply: doc is missing path: \"/x/y\": missing value",
            ),
            (
                json!({"op": "add", "path": "/x/y", "value": 1}),
                "add operation does not apply: doc is missing path: \"/x/y\": missing value",
            ),
            (
                json!({"op": "add", "path": "/l/5", "value": 1}),
                "error in add for path: '/l/5': Unable to access invalid index: 5: invalid index referenced",
            ),
            (
                json!({"op": "replace", "path": "/a/x", "value": 1}),
                "replace operation does not apply: doc is missing key: /a/x: missing value",
            ),
            (
                json!({"op": "move", "from": "/x", "path": "/y"}),
                "move operation does not apply: doc is missing from path: /x: missing value",
            ),
        ] {
            let mut object = json!({"a": {"b": 1}, "l": [1]});
            let error = super::json(&mut object, json!([operation]).to_string().as_bytes());
            assert_eq!(error, Err(PatchError::Unprocessable(expected.into())), "{operation}");
        }
    }

    #[test]
    fn null_removes_in_a_merge() {
        let mut object = json!({"a": {"b": 1, "c": 2}});
        merge(&mut object, br#"{"a":{"b":null}}"#).expect("merges");
        assert_eq!(object, json!({"a": {"c": 2}}));
    }
}
