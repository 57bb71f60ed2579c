//! Whether a schema is structural: what pruning, defaulting and publishing need.
//!
//! Works on the schema as JSON, since what matters is what is said and where. Rules of the expression language are
//! checked elsewhere.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/schema/validation.go and
//! pkg/apis/apiextensions/validation/validation.go.

use serde_json::{Map, Value};

use super::patterns::go_regex;
use super::structural::Structural;
use super::{apply_custom_defaults, prune, validate_custom};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Schemas within schemas that a definition may have: deeper ones are refused rather than followed.
const MOST_DEPTH: usize = 100;

/// Checks a schema of a version.
pub(super) fn check(schema: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    forbidden_words(schema, path, errors, 0);
    if errors.is_empty() {
        structure(schema, Level::Root, path, errors);
        completeness(schema, schema, path, errors);
    }
    if errors.is_empty() {
        extensions(schema, path, errors);
        defaults(schema, &Structural::of(schema), path, errors);
    }
}

/// Every schema of a schema, with its place.
fn each_below(schema: &Value, path: &Path<'_>, work: &mut dyn FnMut(&Value, &Path<'_>)) {
    for field in ["items", "additionalProperties", "not"] {
        if let Some(below) = schema.at(field).filter(|below| below.is_object()) {
            work(below, &path.child(field));
        }
    }
    for (name, below) in schema.map("properties") {
        work(below, &path.child("properties").key(name));
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        for (index, below) in schema.items(field).iter().enumerate() {
            work(below, &path.child(field).index(index));
        }
    }
}

/// What no schema of a definition may say.
fn forbidden_words(schema: &Value, path: &Path<'_>, errors: &mut FieldErrors, depth: usize) {
    if depth > MOST_DEPTH {
        return errors.forbidden(path, "schemas may not be nested this deeply");
    }
    if schema.flag("uniqueItems") {
        errors.forbidden(
            &path.child("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        );
    }
    let additional = schema.at("additionalProperties");
    if !schema.map("properties").is_empty() && additional.is_some_and(|found| *found != Value::Bool(true)) {
        errors.forbidden(
            &path.child("additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        );
    }
    for field in ["id", "additionalItems", "patternProperties", "definitions", "dependencies"] {
        if schema.has(field) {
            errors.forbidden(&path.child(field), format!("{field} is not supported"));
        }
    }
    if schema.get("$ref").is_some() {
        errors.forbidden(&path.child("$ref"), "$ref is not supported");
    }
    match schema.text("type") {
        "null" => errors
            .forbidden(&path.child("type"), "type cannot be set to null, use nullable as an alternative"),
        "" | "array" | "boolean" | "integer" | "number" | "object" | "string" => {}
        other => errors.not_supported(
            &path.child("type"),
            other,
            &["array", "boolean", "integer", "number", "object", "string"],
        ),
    }
    if schema.get("items").is_some_and(Value::is_array) {
        errors.forbidden(&path.child("items"), "items must be a schema object and not an array");
    }
    each_below(schema, path, &mut |below, path| forbidden_words(below, path, errors, depth + 1));
}

fn structure(schema: &Value, level: Level, path: &Path<'_>, errors: &mut FieldErrors) {
    let kind = schema.text("type");
    if kind == "array" && !schema.has("items") {
        errors.required(&path.child("items"), "must be specified");
    }
    if let Some(items) = schema.at("items") {
        structure(items, Level::Item, &path.child("items"), errors);
    }
    for (name, below) in schema.map("properties") {
        structure(below, Level::Field, &path.child("properties").key(name), errors);
    }
    if let Some(below) = schema.at("additionalProperties") {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.forbidden(&path, "must not be used at the root");
        }
        if below.is_object() {
            structure(below, Level::Field, &path, errors);
        }
    }
    flags(schema, path, errors);
    let int_or_string = schema.flag("x-kubernetes-int-or-string");
    nested_all(schema, int_or_string, path, errors);
    typed(schema, level, path, errors);
    metadata(schema, level, path, errors);
}

fn flags(schema: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if schema.get(preserve) == Some(&Value::Bool(false)) {
        errors.invalid(&path.child(preserve), false, "must be true or undefined");
    }
    if !schema.flag("x-kubernetes-int-or-string") {
        return;
    }
    for field in [preserve, "x-kubernetes-embedded-resource"] {
        if schema.flag(field) {
            errors.invalid(&path.child(field), true, "must be false if x-kubernetes-int-or-string is true");
        }
    }
}

fn typed(schema: &Value, level: Level, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("type");
    let kind = schema.text("type");
    if schema.flag("x-kubernetes-embedded-resource") {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        match kind {
            "object" => {}
            "" => errors.required(&at, why),
            other => errors.invalid(&at, other, why),
        }
        if schema.has("additionalProperties") {
            errors.forbidden(
                &path.child("additionalProperties"),
                "must not be used if x-kubernetes-embedded-resource is set",
            );
        }
        if !schema.flag("x-kubernetes-preserve-unknown-fields") && schema.map("properties").is_empty() {
            errors.required(
                &path.child("properties"),
                "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            );
        }
    } else if kind.is_empty()
        && !schema.flag("x-kubernetes-int-or-string")
        && !schema.flag("x-kubernetes-preserve-unknown-fields")
    {
        errors.required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        );
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.invalid(&at, kind, "must be object at the root");
    }
}

fn metadata(schema: &Value, level: Level, path: &Path<'_>, errors: &mut FieldErrors) {
    let checked = level == Level::Root || schema.flag("x-kubernetes-embedded-resource");
    let properties = schema.map("properties");
    let at = path.child("properties");
    for (name, kind) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(found) = properties.get(name).filter(|_| checked) else { continue };
        if found.text("type") != kind {
            errors.invalid(&at.key(name).child("type"), found.text("type"), format!("must be {kind}"));
        }
    }
    if let Some(found) = properties.get("metadata").filter(|_| level == Level::Root) {
        let known = |name: &String| matches!(name.as_str(), "name" | "generateName");
        let said =
            |field: &String| !matches!(field.as_str(), "type" | "properties" | "default" | "description");
        let plain = found.as_object().is_none_or(|fields| !fields.keys().any(said));
        if !plain || !found.map("properties").keys().all(known) {
            errors.forbidden(
                &at.key("metadata"),
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            );
        }
    }
}

/// The schemas under allOf, anyOf, oneOf, not: they restrict values and say nothing of structure.
fn nested_all(schema: &Value, int_or_string: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    if let Err(error) = go_regex(schema.text("pattern")) {
        let text = schema.text("pattern");
        let why = format!("must be a valid regular expression, but isn't: {error}");
        errors.invalid(&path.child("pattern"), text, why);
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        let list = schema.items(field);
        if int_or_string && field == "anyOf" && is_int_or_string(list) {
            continue;
        }
        for (index, below) in list.iter().enumerate() {
            let pattern = int_or_string && field == "allOf" && index == 0;
            nested(
                below,
                pattern && is_int_or_string(below.items("anyOf")),
                &path.child(field).index(index),
                errors,
            );
        }
    }
    if let Some(not) = schema.at("not") {
        nested(not, false, &path.child("not"), errors);
    }
}

/// `anyOf: [{type: integer}, {type: string}]`, which such fields say by custom.
fn is_int_or_string(list: &[Value]) -> bool {
    let is = |schema: &Value, kind: &str| {
        schema.text("type") == kind && schema.as_object().is_some_and(|fields| fields.len() == 1)
    };
    matches!(list, [a, b] if is(a, "integer") && is(b, "string"))
}

const EMPTY: [&str; 3] = ["type", "title", "description"];
const UNDEFINED: [&str; 5] =
    ["additionalProperties", "default", "externalDocs", "x-kubernetes-list-type", "x-kubernetes-map-type"];
const FALSE: [&str; 4] = [
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
];

fn nested(schema: &Value, skip_any_of: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    nested_all(schema, skip_any_of, path, errors);
    if let Some(items) = schema.at("items") {
        nested(items, false, &path.child("items"), errors);
    }
    for (name, below) in schema.map("properties") {
        nested(below, false, &path.child("properties").key(name), errors);
    }
    let mut forbid = |field: &str, why: &str| errors.forbidden(&path.child(field), why);
    for field in EMPTY.into_iter().filter(|field| !schema.text(field).is_empty()) {
        forbid(field, "must be empty to be structural");
    }
    for field in UNDEFINED.into_iter().filter(|field| schema.has(field)) {
        forbid(field, "must be undefined to be structural");
    }
    for field in FALSE.into_iter().filter(|field| schema.flag(field)) {
        forbid(field, "must be false to be structural");
    }
    for field in ["x-kubernetes-list-map-keys", "x-kubernetes-validations"] {
        if !schema.items(field).is_empty() {
            forbid(field, "must be empty to be structural");
        }
    }
    if schema.map("properties").contains_key("metadata") {
        errors.forbidden(
            &path.child("properties").key("metadata"),
            "must not be specified in a nested context",
        );
    }
}

/// Whatever a nested schema restricts must be there outside of it.
fn completeness(schema: &Value, main: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["allOf", "anyOf", "oneOf"] {
        for (index, below) in schema.items(field).iter().enumerate() {
            complete(below, main, &path.child(field).index(index), path, errors);
        }
    }
    if let Some(not) = schema.at("not") {
        complete(not, main, &path.child("not"), path, errors);
    }
    for (name, below) in schema.map("properties") {
        completeness(below, below, &path.child("properties").key(name), errors);
    }
    for field in ["items", "additionalProperties"] {
        if let Some(below) = schema.at(field).filter(|below| below.is_object()) {
            completeness(below, below, &path.child(field), errors);
        }
    }
}

fn complete(nested: &Value, main: &Value, at: &Path<'_>, main_at: &Path<'_>, errors: &mut FieldErrors) {
    for (name, below) in nested.map("properties") {
        let properties = main.map("properties");
        let place = main_at.child("properties");
        match properties
            .get(name)
            .or_else(|| main.at("additionalProperties").filter(|found| found.is_object()))
        {
            Some(found) => {
                complete(below, found, &at.child("properties").key(name), &place.key(name), errors)
            }
            None => errors.required(
                &place.key(name),
                format!("because it is defined in {}", at.child("properties").key(name)),
            ),
        }
    }
    if let Some(items) = nested.at("items") {
        match main.at("items") {
            Some(found) => complete(items, found, &at.child("items"), &main_at.child("items"), errors),
            None => errors
                .required(&main_at.child("items"), format!("because it is defined in {}", at.child("items"))),
        }
    }
    completeness_nested(nested, main, at, main_at, errors);
}

fn completeness_nested(
    nested: &Value,
    main: &Value,
    at: &Path<'_>,
    main_at: &Path<'_>,
    errors: &mut FieldErrors,
) {
    for field in ["allOf", "anyOf", "oneOf"] {
        for (index, below) in nested.items(field).iter().enumerate() {
            complete(below, main, &at.child(field).index(index), main_at, errors);
        }
    }
    if let Some(not) = nested.at("not") {
        complete(not, main, &at.child("not"), main_at, errors);
    }
}

/// List and map types.
fn extensions(schema: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let kind = schema.text("type");
    let list_type = schema.text("x-kubernetes-list-type");
    let keys = schema.items("x-kubernetes-list-map-keys");
    let at = path.child("x-kubernetes-list-type");
    if !list_type.is_empty() {
        if kind != "array" {
            let path = path.child("type");
            if kind.is_empty() {
                errors.required(&path, "must be array if x-kubernetes-list-type is specified");
            } else {
                errors.invalid(&path, kind, "must be array if x-kubernetes-list-type is specified");
            }
        }
        if !matches!(list_type, "atomic" | "set" | "map") {
            errors.not_supported(&at, list_type, &["atomic", "map", "set"]);
        }
    }
    let map_type = schema.text("x-kubernetes-map-type");
    if !map_type.is_empty() && !matches!(map_type, "atomic" | "granular") {
        errors.not_supported(&path.child("x-kubernetes-map-type"), map_type, &["atomic", "granular"]);
    }
    if !map_type.is_empty() && kind != "object" {
        errors.invalid(&path.child("type"), kind, "must be object if x-kubernetes-map-type is specified");
    }
    list_keys(schema, list_type, keys, path, errors);
    if list_type == "set"
        && let Some(items) = schema.at("items")
    {
        set_items(items, &path.child("items"), errors);
    }
    each_below(schema, path, &mut |below, path| extensions(below, path, errors));
}

fn list_keys(schema: &Value, list_type: &str, keys: &[Value], path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("x-kubernetes-list-map-keys");
    match (list_type, keys.is_empty()) {
        ("map", true) => errors.required(&at, "must not be empty if x-kubernetes-list-type is map"),
        ("map", false) => {}
        (_, true) => return,
        ("", false) => {
            return errors.required(
                &path.child("x-kubernetes-list-type"),
                "must be map if x-kubernetes-list-map-keys is non-empty",
            );
        }
        (other, false) => {
            return errors.invalid(
                &path.child("x-kubernetes-list-type"),
                other,
                "must be map if x-kubernetes-list-map-keys is non-empty",
            );
        }
    }
    let Some(items) = schema.at("items") else { return };
    if items.text("type") != "object" {
        errors.invalid(
            &path.child("items").child("type"),
            items.text("type"),
            "must be object if parent array's x-kubernetes-list-type is map",
        );
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, key) in keys.iter().filter_map(Value::as_str).enumerate() {
        let place = at.index(index);
        if seen.contains(&key) {
            errors.duplicate(&place, key);
        }
        seen.push(key);
        let Some(found) = items.map("properties").get(key) else {
            errors.invalid(&place, key, "must be a property of items");
            continue;
        };
        if matches!(found.text("type"), "array" | "object") {
            errors.invalid(
                &place,
                key,
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            );
        }
        let required = items.items("required").iter().any(|name| name == key);
        if !required && !found.has("default") {
            errors.required(
                &path.child("items").child("properties").key(key).child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            );
        }
    }
}

fn set_items(items: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if items.flag("nullable") {
        errors.forbidden(&path.child("nullable"), "cannot be nullable when x-kubernetes-list-type is set");
    }
    match items.text("type") {
        "array"
            if items.text("x-kubernetes-list-type") != "atomic" && items.has("x-kubernetes-list-type") =>
        {
            errors.invalid(
                &path.child("x-kubernetes-list-type"),
                items.text("x-kubernetes-list-type"),
                "must be atomic as item of a list with x-kubernetes-list-type=set",
            );
        }
        "object" if items.text("x-kubernetes-map-type") != "atomic" => errors.invalid(
            &path.child("x-kubernetes-map-type"),
            items.text("x-kubernetes-map-type"),
            "must be atomic as item of a list with x-kubernetes-list-type=set",
        ),
        _ => {}
    }
}

/// Defaults must be what pruning leaves and validation accepts.
fn defaults(schema: &Value, parsed: &Structural, path: &Path<'_>, errors: &mut FieldErrors) {
    if let Some(default) = &parsed.default {
        let path = path.child("default");
        let mut pruned = default.clone();
        prune_value(parsed, &mut pruned);
        if pruned != *default {
            errors.invalid(&path, default.clone(), "must not have unknown fields");
        } else if default.is_object() || default.is_array() || !default.is_null() {
            let mut filled = default.clone();
            apply_custom_defaults(parsed, &mut filled);
            for error in &validate_custom(parsed, &filled) {
                let below = error.path.as_str();
                let place = if below.is_empty() { path.to_string() } else { format!("{path}.{below}") };
                let detail = error.detail.strip_prefix(" in body").unwrap_or(&error.detail).to_owned();
                let mut error = error.clone();
                error.detail = if error.detail.starts_with(" in body") {
                    format!("{place} in body{detail}")
                } else {
                    detail
                };
                error.path = place;
                errors.push(error);
            }
        }
    }
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (name, below) in &parsed.properties {
        defaults(&properties[name], below, &path.child("properties").key(name), errors);
    }
    if let Some(items) = &parsed.items {
        defaults(&schema["items"], items, &path.child("items"), errors);
    }
    if let super::Additional::Schema(below) = &parsed.additional {
        defaults(&schema["additionalProperties"], below, &path.child("additionalProperties"), errors);
    }
}

fn prune_value(schema: &Structural, value: &mut Value) {
    // A default of an embedded resource keeps its metadata, as an object does.
    let mut wrapped =
        Structural { properties: [("v".to_owned(), schema.clone())].into(), ..Structural::default() };
    wrapped.kind = "object".into();
    let mut object = serde_json::json!({"v": std::mem::take(value)});
    prune(&wrapped, &mut object);
    *value = object["v"].take();
}
