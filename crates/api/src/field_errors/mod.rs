//! What is wrong with an object, field by field, in upstream's words.
//!
//! Upstream: staging/src/k8s.io/apimachinery/pkg/util/validation/field. A [`FieldError`] prints as
//! `spec.replicas: Invalid value: -3: must be greater than or equal to 0`.

mod error;
mod path;

pub use error::{FieldError, FieldErrorKind};
pub use path::Path;

use serde_json::{Value, json};
use std::fmt;

/// The errors of one object, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }

    pub fn extend(&mut self, other: FieldErrors) {
        self.0.extend(other.0);
    }

    pub fn required(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push(FieldError::new(path, FieldErrorKind::Required, Value::Null, detail));
    }

    pub fn invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(FieldError::new(path, FieldErrorKind::Invalid, value.into(), detail));
    }

    pub fn type_invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(FieldError::new(path, FieldErrorKind::TypeInvalid, value.into(), detail));
    }

    pub fn duplicate(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push(FieldError::new(path, FieldErrorKind::Duplicate, value.into(), ""));
    }

    pub fn forbidden(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push(FieldError::new(path, FieldErrorKind::Forbidden, Value::Null, detail));
    }

    pub fn not_found(&mut self, path: &Path<'_>, value: impl Into<Value>) {
        self.push(FieldError::new(path, FieldErrorKind::NotFound, value.into(), ""));
    }

    pub fn internal(&mut self, path: &Path<'_>, detail: impl Into<String>) {
        self.push(FieldError::new(path, FieldErrorKind::InternalError, Value::Null, detail));
    }

    /// `supported` is listed sorted, as upstream does for its sets.
    pub fn not_supported(&mut self, path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) {
        let mut names: Vec<&str> = supported.to_vec();
        names.sort_unstable();
        let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let detail = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        self.push(FieldError::new(path, FieldErrorKind::NotSupported, value.into(), detail));
    }

    pub fn too_long(&mut self, path: &Path<'_>, max_bytes: usize) {
        let detail =
            format!("may not be more than {max_bytes} {}", if max_bytes == 1 { "byte" } else { "bytes" });
        self.push(FieldError::new(path, FieldErrorKind::TooLong, Value::Null, detail));
    }

    pub fn too_many(&mut self, path: &Path<'_>, actual: usize, max: usize) {
        let detail = format!("must have at most {max} {}", if max == 1 { "item" } else { "items" });
        self.push(FieldError::new(path, FieldErrorKind::TooMany, json!(actual), detail));
    }

    /// The `details.causes` of the Status that refuses the object.
    pub fn causes(&self) -> Value {
        let cause = |error: &FieldError| json!({"reason": error.kind.cause(), "message": error.body(), "field": error.path});
        self.0.iter().map(cause).collect()
    }

    /// The Status (422, reason Invalid) that refuses an object. `group` is empty for the core group.
    pub fn status(&self, group: &str, kind: &str, name: &str) -> Value {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut details = json!({"name": name, "group": group, "kind": kind, "causes": self.causes()});
        if let Some(fields) = details.as_object_mut() {
            fields.retain(|key, value| !(matches!(key.as_str(), "group" | "name") && value == ""));
        }
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": format!("{qualified} {name:?} is invalid: {self}"),
            "reason": "Invalid", "details": details, "code": 422,
        })
    }
}

/// One error prints alone, several as `[a, b]`; what is said twice is printed once.
impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = Vec::with_capacity(self.0.len());
        for error in &self.0 {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match texts.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

impl<'a> IntoIterator for &'a FieldErrors {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
