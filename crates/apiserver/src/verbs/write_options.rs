//! `CreateOptions`, `UpdateOptions`, `PatchOptions`: alike but for their names.

use api::Validation;
use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::request_info::{form_pairs, is_true};

/// Options of a write, as the query has them.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Admission and validation run, nothing is stored.
    pub dry_run: bool,
    pub field_manager: String,
    pub validation: Validation,
    /// Server-side apply takes fields from others.
    pub force: Option<bool>,
}

const LONGEST_MANAGER: usize = 128;

/// Reason, message, field.
type Problem = (String, String, String);

impl WriteOptions {
    /// `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`.
    ///
    /// # Errors
    /// 422 for values that are not known.
    pub fn parse(query: &str, kind: &str) -> Result<Self> {
        let (options, problems) = Self::read(query);
        options.unless(kind, &problems)
    }

    /// `PatchOptions`: some belong to apply alone.
    pub fn of_patch(query: &str, is_apply: bool) -> Result<Self> {
        let (options, mut problems) = Self::read(query);
        if is_apply && options.field_manager.is_empty() {
            let message = "Required value: is required for apply patch".into();
            problems.insert(0, ("FieldValueRequired".into(), message, "fieldManager".into()));
        }
        if !is_apply && options.force.is_some() {
            let message = "Forbidden: may not be specified for non-apply patch".into();
            problems.insert(0, ("FieldValueForbidden".into(), message, "force".into()));
        }
        options.unless("PatchOptions", &problems)
    }

    fn unless(self, kind: &str, problems: &[Problem]) -> Result<Self> {
        if problems.is_empty() { Ok(self) } else { Err(ApiError::invalid("meta.k8s.io", kind, "", problems)) }
    }

    fn read(query: &str) -> (Self, Vec<Problem>) {
        let mut options =
            Self { dry_run: false, field_manager: String::new(), validation: Validation::Warn, force: None };
        let mut problems = Vec::new();
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "dryRun" => {
                    if value != "All" {
                        problems.push(unsupported("dryRun", &value, r#""All""#));
                    }
                    options.dry_run = true;
                }
                "fieldManager" => options.field_manager = value,
                "fieldValidation" => match value.as_str() {
                    "" | "Warn" => options.validation = Validation::Warn,
                    "Strict" => options.validation = Validation::Strict,
                    "Ignore" => options.validation = Validation::Ignore,
                    _ => {
                        problems.push(unsupported("fieldValidation", &value, r#""Ignore", "Strict", "Warn""#))
                    }
                },
                "force" => options.force = Some(is_true(&value)),
                _ => {}
            }
        }
        if options.field_manager.len() > LONGEST_MANAGER {
            let message = format!("Too long: may not be more than {LONGEST_MANAGER} bytes");
            problems.push(("FieldValueTooLong".into(), message, "fieldManager".into()));
        }
        (options, problems)
    }

    /// As admission sees them.
    pub fn value(&self, kind: &str) -> Value {
        let mut value = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run {
            value["dryRun"] = json!(["All"]);
        }
        if !self.field_manager.is_empty() {
            value["fieldManager"] = json!(self.field_manager);
        }
        if let Some(force) = self.force {
            value["force"] = json!(force);
        }
        value
    }
}

fn unsupported(field: &str, value: &str, supported: &str) -> Problem {
    let message = format!("Unsupported value: {value:?}: supported values: {supported}");
    ("FieldValueNotSupported".into(), message, field.into())
}

/// The same options that a body may have.
pub fn delete_options_of_query(query: &str) -> Value {
    let mut options = json!({});
    for (key, value) in form_pairs(query) {
        match key.as_str() {
            "gracePeriodSeconds" => options[key] = value.parse::<i64>().map_or(Value::Null, Value::from),
            "propagationPolicy" => options[key] = json!(value),
            "orphanDependents" => options[key] = json!(is_true(&value)),
            "dryRun" => options[key] = json!([value]),
            _ => {}
        }
    }
    options
}

impl WriteOptions {
    /// Options of a write that no client wrote out.
    pub fn dry(dry_run: bool) -> Self {
        Self { dry_run, field_manager: String::new(), validation: Validation::Ignore, force: None }
    }
}
