//! Whether an object is as its schema wants it, in upstream's words.
//!
//! Upstream: kube-openapi/pkg/validation/validate; apiextensions-apiserver/pkg/apiserver/validation (with ratcheting:
//! what an update leaves as it was is not held against it).

use serde_json::{Map, Value};

use super::formats::is_format;
use super::lists;
use super::structural::{Additional, Checks, Structural};
use crate::field_errors::{FieldError, FieldErrorKind, FieldErrors, Path};
use crate::validate::metadata::check_shared;

/// Checks a new object.
pub fn validate_custom(schema: &Structural, object: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    Validator { errors: &mut errors }.value(schema, object, None, &Path::Root);
    lists::check(schema, object, &Path::Root, &mut errors);
    errors
}

/// Checks a changed object: parts that are as they were may be wrong.
pub fn validate_custom_update(schema: &Structural, object: &Value, old: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    Validator { errors: &mut errors }.value(schema, object, Some(old), &Path::Root);
    let mut in_lists = FieldErrors::new();
    lists::check(schema, object, &Path::Root, &mut in_lists);
    let mut before = FieldErrors::new();
    lists::check(schema, old, &Path::Root, &mut before);
    for error in in_lists.iter().filter(|error| !before.iter().any(|old| old == *error)) {
        errors.push(error.clone());
    }
    errors
}

struct Validator<'a> {
    errors: &'a mut FieldErrors,
}

impl Validator<'_> {
    fn value(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, path: &Path<'_>) {
        if old == Some(value) {
            return;
        }
        self.kind(schema, value, path);
        if value.is_null() {
            return self.choices(&schema.checks, value, path);
        }
        self.logic(schema, value, old, path);
        match value {
            Value::String(text) => self.text(&schema.checks, text, path),
            Value::Number(number) => self.number(&schema.checks, number, path),
            _ => {}
        }
        self.choices(&schema.checks, value, path);
        match value {
            Value::Array(items) => self.list(schema, items, old, path),
            Value::Object(fields) => self.object(schema, fields, old, path),
            _ => {}
        }
    }

    fn kind(&mut self, schema: &Structural, value: &Value, path: &Path<'_>) {
        let found = kind_of(value);
        let (wanted, fits) = match (schema.int_or_string, schema.kind.as_str()) {
            (true, _) => ("integer,string", found == "string" || is_integer(value)),
            (_, "") => return,
            (_, "integer") => ("integer", is_integer(value)),
            (_, "number") => ("number", value.is_number()),
            (_, kind) => (kind, found == kind),
        };
        if fits || (value.is_null() && schema.nullable) {
            return;
        }
        let detail = format!("{path} in body must be of type {wanted}: {found:?}");
        self.errors.type_invalid(path, found, detail);
    }

    fn invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, what: impl std::fmt::Display) {
        self.errors.invalid(path, value, format!("{path} in body {what}"));
    }

    fn text(&mut self, checks: &Checks, text: &str, path: &Path<'_>) {
        let length = text.chars().count() as u64;
        if let Some(most) = checks.max_length.filter(|most| length > *most) {
            self.errors.too_long(path, most as usize);
        }
        if let Some(least) = checks.min_length.filter(|least| length < *least) {
            self.invalid(path, text, format_args!("should be at least {least} chars long"));
        }
        if let Some(regex) = &checks.regex
            && !regex.is_match(text)
        {
            self.invalid(path, text, format_args!("should match '{}'", checks.pattern));
        }
        if !checks.format.is_empty() && !is_format(&checks.format, text) {
            let detail = format!("{path} in body must be of type {}: {text:?}", checks.format);
            self.errors.type_invalid(path, text, detail);
        }
    }

    fn number(&mut self, checks: &Checks, number: &serde_json::Number, path: &Path<'_>) {
        let value = number.as_f64().unwrap_or(0.0);
        let shown = Value::Number(number.clone());
        if let Some(factor) = checks.multiple_of
            && factor > 0.0
            && !is_multiple(number, factor)
        {
            self.invalid(path, shown.clone(), format_args!("should be a multiple of {factor}"));
        }
        if let Some(most) = checks.maximum {
            if checks.exclusive_maximum && value >= most {
                self.invalid(path, shown.clone(), format_args!("should be less than {most}"));
            } else if !checks.exclusive_maximum && value > most {
                self.invalid(path, shown.clone(), format_args!("should be less than or equal to {most}"));
            }
        }
        if let Some(least) = checks.minimum {
            if checks.exclusive_minimum && value <= least {
                self.invalid(path, shown, format_args!("should be greater than {least}"));
            } else if !checks.exclusive_minimum && value < least {
                self.invalid(path, shown, format_args!("should be greater than or equal to {least}"));
            }
        }
    }

    fn choices(&mut self, checks: &Checks, value: &Value, path: &Path<'_>) {
        if checks.choices.is_empty() || checks.choices.iter().any(|choice| same(choice, value)) {
            return;
        }
        let shown = |choice: &Value| match choice {
            Value::String(text) => format!("{text:?}"),
            other => format!("{:?}", other.to_string()),
        };
        let choices: Vec<String> = checks.choices.iter().map(shown).collect();
        let detail = format!("supported values: {}", choices.join(", "));
        self.errors.push(FieldError::new(path, FieldErrorKind::NotSupported, value.clone(), detail));
    }

    fn list(&mut self, schema: &Structural, items: &[Value], old: Option<&Value>, path: &Path<'_>) {
        let checks = &schema.checks;
        let before = old.and_then(Value::as_array);
        if let Some(below) = &schema.items {
            for (index, item) in items.iter().enumerate() {
                let before = before.and_then(|before| correlated(schema, item, index, before));
                self.value(below, item, before, &path.index(index));
            }
        }
        let count = items.len() as u64;
        if let Some(least) = checks.min_items.filter(|least| count < *least) {
            self.invalid(path, count, format_args!("should have at least {least} items"));
        }
        if let Some(most) = checks.max_items.filter(|most| count > *most) {
            self.errors.too_many(path, items.len(), most as usize);
        }
        if checks.unique_items {
            let mut seen = std::collections::HashSet::new();
            if !items.iter().all(|item| seen.insert(item.to_string())) {
                self.invalid(path, "", "shouldn't contain duplicates");
            }
        }
    }

    fn object(
        &mut self,
        schema: &Structural,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        path: &Path<'_>,
    ) {
        let checks = &schema.checks;
        let count = fields.len() as u64;
        if let Some(least) = checks.min_properties.filter(|least| count < *least) {
            self.invalid(path, count, format_args!("should have at least {least} properties"));
        }
        if let Some(most) = checks.max_properties.filter(|most| count > *most) {
            self.errors.too_many(path, fields.len(), most as usize);
        }
        if matches!(schema.additional, Additional::Forbidden) {
            for name in fields.keys().filter(|name| !schema.properties.contains_key(*name)) {
                let detail = format!("{path}.{name} in body is a forbidden property");
                self.errors.invalid(path, name.as_str(), detail);
            }
        }
        for name in checks.required.iter().filter(|name| !fields.contains_key(*name)) {
            self.errors.required(&path.child(name), "");
        }
        for (name, value) in fields {
            let old = old.and_then(|old| old.get(name));
            if let Some(below) = schema.property(name) {
                self.value(below, value, old, &path.child(name));
            }
            if schema.embedded && name == "metadata" && !matches!(path, Path::Root) {
                check_shared(value, &path.child(name), self.errors);
            }
        }
        if schema.embedded && !matches!(path, Path::Root) {
            for name in ["apiVersion", "kind"] {
                if fields.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
                    self.errors.required(&path.child(name), "must not be empty");
                }
            }
        }
    }

    /// anyOf, oneOf, allOf, not.
    fn logic(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, path: &Path<'_>) {
        let checks = &schema.checks;
        let told = |errors: &mut FieldErrors, text: String| errors.invalid(&Path::Root, "", text);
        let name = format!("{:?}", path.to_string());
        if !checks.any_of.is_empty() {
            let tried = tries(&checks.any_of, value, old, path);
            if tried.iter().all(|errors| !errors.is_empty()) {
                told(self.errors, format!("{name} must validate at least one schema (anyOf)"));
                self.errors.extend(first(tried));
            }
        }
        if !checks.one_of.is_empty() {
            let tried = tries(&checks.one_of, value, old, path);
            let valid = tried.iter().filter(|errors| errors.is_empty()).count();
            if valid != 1 {
                let found = match valid {
                    0 => "Found none valid".to_owned(),
                    more => format!("Found {more} valid alternatives"),
                };
                told(self.errors, format!("{name} must validate one and only one schema (oneOf). {found}"));
                if valid == 0 {
                    self.errors.extend(first(tried));
                }
            }
        }
        if !checks.all_of.is_empty() {
            let tried = tries(&checks.all_of, value, old, path);
            let valid = tried.iter().filter(|errors| errors.is_empty()).count();
            let count = tried.len();
            tried.into_iter().for_each(|errors| self.errors.extend(errors));
            if valid != count {
                let none = if valid == 0 { ". None validated" } else { "" };
                told(self.errors, format!("{name} must validate all the schemas (allOf){none}"));
            }
        }
        if let Some(not) = &checks.not
            && tries(std::slice::from_ref(&**not), value, None, path).iter().all(FieldErrors::is_empty)
        {
            told(self.errors, format!("{name} must not validate the schema (not)"));
        }
    }
}

fn tries(schemas: &[Structural], value: &Value, old: Option<&Value>, path: &Path<'_>) -> Vec<FieldErrors> {
    let attempt = |schema: &Structural| {
        let mut errors = FieldErrors::new();
        Validator { errors: &mut errors }.value(schema, value, old, path);
        errors
    };
    schemas.iter().map(attempt).collect()
}

fn first(tried: Vec<FieldErrors>) -> FieldErrors {
    tried.into_iter().next().unwrap_or_default()
}

/// The old item that an item goes back to: by its keys, or by its place where the list is atomic.
fn correlated<'a>(schema: &Structural, item: &Value, index: usize, before: &'a [Value]) -> Option<&'a Value> {
    match &schema.list {
        crate::ListKind::Map(keys) => {
            let same_keys = |old: &&Value| keys.iter().all(|key| old.get(&**key) == item.get(&**key));
            before.iter().find(same_keys)
        }
        crate::ListKind::Set => before.iter().find(|old| *old == item),
        crate::ListKind::Atomic => before.get(index).filter(|old| *old == item),
    }
}

/// The name of a value's type, as schemas have it.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Also `3.0`.
fn is_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_f64().is_some_and(|float| !number.is_f64() || float.fract() == 0.0)
        }
        _ => false,
    }
}

fn is_multiple(number: &serde_json::Number, factor: f64) -> bool {
    match number.as_i64() {
        Some(integer) if factor.fract() == 0.0 => integer % (factor as i64).max(1) == 0,
        _ => {
            let quotient = number.as_f64().unwrap_or(0.0) / factor;
            quotient.fract() == 0.0
        }
    }
}

/// `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}
