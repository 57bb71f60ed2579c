//! The tree of a structural schema.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/schema/{structural,convert}.go.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::patterns::go_regex;
use crate::access::Access;
use crate::schema::ListKind;

/// What an OpenAPI v3 schema of a CustomResourceDefinition says of a value.
#[derive(Debug, Clone, Default)]
pub struct Structural {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; empty where the schema says none.
    pub kind: String,
    pub nullable: bool,
    pub default: Option<Value>,
    pub properties: BTreeMap<String, Structural>,
    pub additional: Additional,
    pub items: Option<Box<Structural>>,
    /// x-kubernetes-preserve-unknown-fields
    pub preserve: bool,
    /// x-kubernetes-embedded-resource
    pub embedded: bool,
    pub int_or_string: bool,
    pub list: ListKind,
    /// x-kubernetes-map-type: atomic
    pub map_atomic: bool,
    /// x-kubernetes-validations
    pub rules: Vec<Rule>,
    pub checks: Checks,
}

/// additionalProperties.
#[derive(Debug, Clone, Default)]
pub enum Additional {
    #[default]
    Absent,
    Allowed,
    Forbidden,
    Schema(Box<Structural>),
}

/// One of x-kubernetes-validations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: String,
    pub field_path: String,
    pub optional_old_self: bool,
}

/// What a value must be besides its type.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    pub format: String,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<u64>,
    pub min_length: Option<u64>,
    pub max_items: Option<u64>,
    pub min_items: Option<u64>,
    pub max_properties: Option<u64>,
    pub min_properties: Option<u64>,
    pub unique_items: bool,
    pub pattern: String,
    /// None where the pattern is empty, or none: creation of such a definition is refused.
    pub regex: Option<Regex>,
    pub choices: Vec<Value>,
    pub required: Vec<String>,
    pub all_of: Vec<Structural>,
    pub any_of: Vec<Structural>,
    pub one_of: Vec<Structural>,
    pub not: Option<Box<Structural>>,
}

impl Structural {
    /// Reads a JSONSchemaProps that decoded. What makes it no structural schema is told elsewhere.
    pub fn of(schema: &Value) -> Self {
        Self {
            kind: schema.text("type").to_owned(),
            nullable: schema.flag("nullable"),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            properties: named(schema, "properties"),
            additional: additional(schema),
            items: schema.at("items").filter(|items| items.is_object()).map(boxed),
            preserve: schema.flag("x-kubernetes-preserve-unknown-fields"),
            embedded: schema.flag("x-kubernetes-embedded-resource"),
            int_or_string: schema.flag("x-kubernetes-int-or-string"),
            list: list_kind(schema),
            map_atomic: schema.text("x-kubernetes-map-type") == "atomic",
            rules: schema.items("x-kubernetes-validations").iter().map(rule).collect(),
            checks: checks(schema),
        }
    }

    /// The schema of a whole object as pruning sees it: its own metadata is not its affair.
    pub fn as_root(&self) -> Self {
        Self { embedded: true, ..self.clone() }
    }

    /// The schema of a property.
    pub fn property(&self, name: &str) -> Option<&Structural> {
        match (self.properties.get(name), &self.additional) {
            (Some(found), _) => Some(found),
            (None, Additional::Schema(found)) => Some(found),
            _ => None,
        }
    }

    /// Whether rules stand here or below.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty() || self.children().any(Structural::has_rules)
    }

    /// The schemas of what values of this one hold.
    pub fn children(&self) -> impl Iterator<Item = &Structural> {
        let additional = match &self.additional {
            Additional::Schema(schema) => Some(&**schema),
            _ => None,
        };
        self.properties.values().chain(additional).chain(self.items.as_deref())
    }
}

fn boxed(schema: &Value) -> Box<Structural> {
    Box::new(Structural::of(schema))
}

fn named(schema: &Value, field: &str) -> BTreeMap<String, Structural> {
    schema.map(field).iter().map(|(name, schema)| (name.clone(), Structural::of(schema))).collect()
}

fn each(schema: &Value, field: &str) -> Vec<Structural> {
    schema.items(field).iter().map(Structural::of).collect()
}

fn additional(schema: &Value) -> Additional {
    match schema.at("additionalProperties") {
        None => Additional::Absent,
        Some(Value::Bool(false)) => Additional::Forbidden,
        Some(Value::Bool(true)) => Additional::Allowed,
        Some(schema) => Additional::Schema(boxed(schema)),
    }
}

fn list_kind(schema: &Value) -> ListKind {
    match schema.text("x-kubernetes-list-type") {
        "set" => ListKind::Set,
        "map" => {
            let keys = schema.items("x-kubernetes-list-map-keys").iter();
            ListKind::Map(
                keys.filter_map(Value::as_str).map(|key| key.to_owned().into()).collect::<Vec<_>>().into(),
            )
        }
        _ => ListKind::Atomic,
    }
}

fn rule(rule: &Value) -> Rule {
    Rule {
        rule: rule.text("rule").to_owned(),
        message: rule.text("message").to_owned(),
        message_expression: rule.text("messageExpression").to_owned(),
        reason: rule.text("reason").to_owned(),
        field_path: rule.text("fieldPath").to_owned(),
        optional_old_self: rule.flag("optionalOldSelf"),
    }
}

fn checks(schema: &Value) -> Checks {
    let number = |field: &str| schema.at(field).and_then(Value::as_f64);
    let count = |field: &str| schema.at(field).and_then(Value::as_u64);
    let pattern = schema.text("pattern").to_owned();
    Checks {
        format: schema.text("format").to_owned(),
        maximum: number("maximum"),
        exclusive_maximum: schema.flag("exclusiveMaximum"),
        minimum: number("minimum"),
        exclusive_minimum: schema.flag("exclusiveMinimum"),
        multiple_of: number("multipleOf"),
        max_length: count("maxLength"),
        min_length: count("minLength"),
        max_items: count("maxItems"),
        min_items: count("minItems"),
        max_properties: count("maxProperties"),
        min_properties: count("minProperties"),
        unique_items: schema.flag("uniqueItems"),
        // A broken pattern is told when the definition is written; here it matches everything.
        regex: (!pattern.is_empty()).then(|| go_regex(&pattern).ok()).flatten(),
        pattern,
        choices: schema.items("enum").to_vec(),
        required: schema.items("required").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        all_of: each(schema, "allOf"),
        any_of: each(schema, "anyOf"),
        one_of: each(schema, "oneOf"),
        not: schema.at("not").map(boxed),
    }
}
