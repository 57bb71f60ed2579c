//! Whether a CustomResourceDefinition may be, after defaulting. Its expressions are checked elsewhere.
//!
//! Upstream: apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go.

use serde_json::Value;

use super::structure;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::names;

/// Checks a definition.
pub fn check_definition(object: &Value, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let root = Path::Root;
    let (name, expected) =
        (object.text("metadata.name"), format!("{}.{}", spec.text("names.plural"), spec.text("group")));
    if name != expected {
        let metadata = root.child("metadata");
        errors.invalid(&metadata.child("name"), name, "must be spec.names.plural+\".\"+spec.group");
    }
    let path = root.child("spec");
    group(spec, &path, errors);
    match spec.text("scope") {
        "" => errors.required(&path.child("scope"), ""),
        "Cluster" | "Namespaced" => {}
        other => errors.not_supported(&path.child("scope"), other, &["Cluster", "Namespaced"]),
    }
    conversion(spec.at("conversion").unwrap_or(&Value::Null), &path.child("conversion"), errors);
    versions(spec, &path, errors);
    names_of(spec.at("names").unwrap_or(&Value::Null), &path.child("names"), errors);
    if spec.flag("preserveUnknownFields") {
        errors.invalid(
            &path.child("preserveUnknownFields"),
            true,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
             spec.versions[*].schema instead",
        );
    }
}

/// Checks a changed definition against what it was; [`check_definition`] has been called for it.
pub fn check_definition_update(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Path::Root;
    let path = root.child("spec");
    let mut fields = vec!["group", "names.plural"];
    let established = old
        .items("status.conditions")
        .iter()
        .any(|condition| condition.text("type") == "Established" && condition.text("status") == "True");
    if established {
        fields.splice(0..0, ["scope", "names.kind"]);
    }
    for field in fields {
        let (new, before) = (object.text(&format!("spec.{field}")), old.text(&format!("spec.{field}")));
        if new != before {
            errors.invalid(&path.child(field), new, "field is immutable");
        }
    }
    stored_versions(object, errors);
}

/// Versions that objects are stored in must stay.
fn stored_versions(object: &Value, errors: &mut FieldErrors) {
    let root = Path::Root;
    let path = root.child("status");
    let path = path.child("storedVersions");
    let is_there = |name: &str| object.items("spec.versions").iter().any(|v| v.text("name") == name);
    for (index, stored) in object.items("status.storedVersions").iter().filter_map(Value::as_str).enumerate()
    {
        if !is_there(stored) {
            errors.invalid(
                &path.index(index),
                stored,
                "missing from spec.versions; v1 was previously a storage version, and must remain in \
                 spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 \
                 from status.storedVersions"
                    .replace("v1", stored),
            );
        }
    }
}

fn group(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("group");
    let group = spec.text("group");
    let wrong = names::dns1123_subdomain(group);
    match group {
        "" => errors.required(&at, ""),
        _ if !wrong.is_empty() => errors.invalid(&at, group, wrong.join(",")),
        _ if !group.contains('.') => errors.invalid(&at, group, "should be a domain with at least one dot"),
        _ => {}
    }
}

fn names_of(given: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["plural", "singular", "kind", "listKind"] {
        if given.text(field).is_empty() {
            errors.required(&path.child(field), "");
        }
    }
    for field in ["plural", "singular"] {
        label(given.text(field), "", &path.child(field), errors);
    }
    let mixed = "may have mixed case, but should otherwise match: ";
    for field in ["kind", "listKind"] {
        label(given.text(field), mixed, &path.child(field), errors);
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in given.items(field).iter().filter_map(Value::as_str).enumerate() {
            let wrong = names::dns1035_label(name);
            if !wrong.is_empty() {
                errors.invalid(&path.child(field).index(index), name, wrong.join(","));
            }
        }
    }
    let (kind, list) = (given.text("kind"), given.text("listKind"));
    if !kind.is_empty() && kind == list {
        errors.invalid(&path.child("listKind"), list, "kind and listKind may not be the same");
    }
}

fn label(name: &str, mixed: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let checked = if mixed.is_empty() { name.to_owned() } else { name.to_lowercase() };
    let wrong = names::dns1035_label(&checked);
    if !name.is_empty() && !wrong.is_empty() {
        errors.invalid(path, name, format!("{mixed}{}", wrong.join(",")));
    }
}

fn versions(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let list = spec.items("versions");
    let at = path.child("versions");
    let mut seen: Vec<&str> = Vec::new();
    let mut unique = true;
    for (index, version) in list.iter().enumerate() {
        let name = version.text("name");
        unique &= !seen.contains(&name);
        seen.push(name);
        self::version(version, &at.index(index), errors);
    }
    let shown = || Value::Array(list.to_vec());
    if !unique {
        errors.invalid(&at, shown(), "must contain unique version names");
    }
    if list.iter().filter(|version| version.flag("storage")).count() != 1 {
        errors.invalid(&at, shown(), "must have exactly one version marked as storage version");
    }
}

fn version(version: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let name = version.text("name");
    let wrong = names::dns1035_label(name);
    if !wrong.is_empty() {
        errors.invalid(&path.child("name"), name, wrong.join(","));
    }
    let warning = version.text("deprecationWarning");
    if !warning.is_empty() && !version.flag("deprecated") {
        errors.invalid(&path.child("deprecationWarning"), warning, "can only be set for deprecated versions");
    }
    let at = path.child("schema");
    let at = at.child("openAPIV3Schema");
    match version.at("schema.openAPIV3Schema") {
        None => errors.required(&at, "schemas are required"),
        Some(schema) => {
            let mut found = FieldErrors::new();
            structure::check(schema, &at, &mut found);
            errors.extend(found);
        }
    }
    subresources(version.at("subresources").unwrap_or(&Value::Null), &path.child("subresources"), errors);
    for (index, column) in version.items("additionalPrinterColumns").iter().enumerate() {
        self::column(column, &path.child("additionalPrinterColumns").index(index), errors);
    }
    selectable(version, path, errors);
}

fn subresources(subresources: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(scale) = subresources.at("scale") else { return };
    for (field, below, needed) in [
        ("specReplicasPath", ".spec.", true),
        ("statusReplicasPath", ".status.", true),
        ("labelSelectorPath", "", false),
    ] {
        let at = path.child("scale");
        let at = at.child(field);
        let text = scale.text(field);
        match text {
            "" if needed => errors.required(&at, ""),
            "" => {}
            _ if simple_path(text).is_none() => {
                let why = match text.starts_with('.') {
                    true => "must be a json path in the dot notation",
                    false => "must be a simple json path starting with .",
                };
                errors.invalid(&at, text, why);
            }
            _ if needed && !text.starts_with(below) => {
                errors.invalid(
                    &at,
                    text,
                    format!("should be a json path under {}", below.trim_end_matches('.')),
                );
            }
            _ if !needed && !text.starts_with(".spec.") && !text.starts_with(".status.") => {
                errors.invalid(&at, text, "should be a json path under .spec or .status");
            }
            _ => {}
        }
    }
}

/// The names of `.spec.replicas`; none for anything but plain names after dots.
pub fn simple_path(text: &str) -> Option<Vec<String>> {
    let names: Vec<String> = text.strip_prefix('.')?.split('.').map(str::to_owned).collect();
    let plain = |name: &String| !name.is_empty() && !name.contains(['[', ']', '(', ')', '*', '\'', '"', ' ']);
    names.iter().all(plain).then_some(names)
}

fn column(column: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if column.text("name").is_empty() {
        errors.required(&path.child("name"), "");
    }
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    match column.text("type") {
        "" => errors.required(&path.child("type"), format!("must be one of {}", TYPES.join(","))),
        kind if !TYPES.contains(&kind) => {
            errors.invalid(&path.child("type"), kind, format!("must be one of {}", TYPES.join(",")));
        }
        _ => {}
    }
    let format = column.text("format");
    if !format.is_empty() && !FORMATS.contains(&format) {
        errors.invalid(&path.child("format"), format, format!("must be one of {}", FORMATS.join(",")));
    }
    let json_path = column.text("jsonPath");
    if json_path.is_empty() {
        errors.required(&path.child("jsonPath"), "");
    } else if !json_path.starts_with('.') {
        errors.invalid(&path.child("jsonPath"), json_path, "must be a simple json path starting with .");
    }
}

/// Fields that a definition lets be selected by; upstream's limit.
const MOST_SELECTABLE: usize = 8;

fn selectable(version: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let fields = version.items("selectableFields");
    let at = path.child("selectableFields");
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let place = at.index(index);
        let place = place.child("jsonPath");
        let text = field.text("jsonPath");
        let Some(names) = simple_path(text) else {
            if text.is_empty() {
                errors.required(&place, "must be a simple path");
            } else {
                errors.invalid(
                    &place,
                    text,
                    "is an invalid path: must be a simple json path starting with .",
                );
            }
            continue;
        };
        if seen.contains(&text) {
            errors.duplicate(&place, text);
        }
        seen.push(text);
        if names.first().is_some_and(|first| first == "metadata") {
            errors.invalid(&place, text, "must not point to fields in metadata");
            continue;
        }
        let mut schema = version.at("schema.openAPIV3Schema");
        for name in &names {
            schema = schema.and_then(|schema| schema.get("properties")).and_then(|below| below.get(name));
        }
        match schema.map(|schema| schema.text("type")) {
            None => errors.invalid(&place, text, "is an invalid path: does not refer to a valid field"),
            Some("string" | "boolean" | "integer") => {}
            Some(_) => errors.invalid(
                &place,
                text,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                 formats are allowed.",
            ),
        }
    }
    if fields.len() > MOST_SELECTABLE {
        errors.too_many(&at, fields.len(), MOST_SELECTABLE);
    }
}

fn conversion(conversion: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let webhook = conversion.at("webhook");
    match conversion.text("strategy") {
        "" => errors.required(&path.child("strategy"), ""),
        "None" => {
            if webhook.is_some() {
                errors.forbidden(
                    &path.child("webhook"),
                    "should not be set when strategy is not set to Webhook",
                );
            }
        }
        "Webhook" => match webhook.and_then(|webhook| webhook.at("clientConfig")) {
            None => errors
                .required(&path.child("webhookClientConfig"), "required when strategy is set to Webhook"),
            Some(client) => {
                let webhook = webhook.unwrap_or(&Value::Null);
                webhook_client(client, &path.child("webhookClientConfig"), errors);
                let versions = webhook.items("conversionReviewVersions");
                let at = path.child("conversionReviewVersions");
                if versions.is_empty() {
                    errors.required(&at, "");
                } else if !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
                    errors.invalid(
                        &at,
                        Value::Array(versions.to_vec()),
                        "must include at least one of v1, v1beta1",
                    );
                }
            }
        },
        other => errors.not_supported(&path.child("strategy"), other, &["None", "Webhook"]),
    }
}

fn webhook_client(client: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let (url, service) = (client.at("url"), client.at("service"));
    if url.is_some() == service.is_some() {
        errors.required(path, "exactly one of url or service is required");
    }
    if let Some(url) = url.and_then(Value::as_str)
        && !url.starts_with("https://")
    {
        errors.invalid(
            &path.child("url"),
            url,
            "'https' is the only allowed URL scheme; desired format: https://host[/path]",
        );
    }
    if let Some(service) = service {
        for field in ["name", "namespace"] {
            if service.text(field).is_empty() {
                errors.required(&path.child("service").child(field), format!("service {field} is required"));
            }
        }
    }
}
