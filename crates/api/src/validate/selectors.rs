//! Label selectors inside objects.

use super::metadata::{invalid_each, labels};
use super::names;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::{Map, Value};

/// Checks a LabelSelector.
pub fn label_selector(selector: Option<&Value>, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(selector) = selector else { return };
    labels(selector.map("matchLabels"), &path.child("matchLabels"), errors);
    let path = path.child("matchExpressions");
    for (index, expression) in selector.items("matchExpressions").iter().enumerate() {
        requirement(expression, &path.index(index), errors);
    }
}

fn requirement(expression: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let some = !expression.items("values").is_empty();
    match expression.text("operator") {
        "In" | "NotIn" if !some => {
            errors.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'")
        }
        "Exists" | "DoesNotExist" if some => errors.forbidden(
            &path.child("values"),
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = expression.text("key");
    invalid_each(&path.child("key"), key, names::qualified_name(key), errors);
    for (index, value) in expression.items("values").iter().filter_map(Value::as_str).enumerate() {
        invalid_each(&path.child("values").index(index), value, names::label_value(value), errors);
    }
}

/// Whether a LabelSelector names nothing, and so selects all.
pub fn is_empty(selector: &Value) -> bool {
    selector.map("matchLabels").is_empty() && selector.items("matchExpressions").is_empty()
}

/// Whether labels match a LabelSelector.
pub fn matches(selector: &Value, labels: &Map<String, Value>) -> bool {
    let equal = selector.map("matchLabels").iter().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.items("matchExpressions").iter().all(|expression| expression_matches(expression, labels))
}

fn expression_matches(expression: &Value, labels: &Map<String, Value>) -> bool {
    let label = labels.get(expression.text("key"));
    let listed = label.is_some_and(|label| expression.items("values").contains(label));
    match expression.text("operator") {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => false,
    }
}
