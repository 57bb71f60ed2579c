//! One operation: its parameters, what it reads and answers.

use super::Form;
use super::definitions::Definitions;
use serde_json::{Value, json};

/// The verbs of an API, and what they are called in OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    List,
    Create,
    DeleteCollection,
    Get,
    Replace,
    Patch,
    Delete,
    Connect,
}

impl Action {
    pub(super) fn method(self) -> &'static str {
        match self {
            Action::List | Action::Get | Action::Connect => "get",
            Action::Create => "post",
            Action::Replace => "put",
            Action::Patch => "patch",
            Action::Delete | Action::DeleteCollection => "delete",
        }
    }

    /// `x-kubernetes-action`.
    fn name(self) -> &'static str {
        match self {
            Action::List => "list",
            Action::Create => "post",
            Action::DeleteCollection => "deletecollection",
            Action::Get => "get",
            Action::Replace => "put",
            Action::Patch => "patch",
            Action::Delete => "delete",
            Action::Connect => "connect",
        }
    }

    /// The start of an operationId.
    fn verb(self) -> &'static str {
        match self {
            Action::List => "list",
            Action::Create => "create",
            Action::DeleteCollection => "deleteCollection",
            Action::Get => "read",
            Action::Replace => "replace",
            Action::Patch => "patch",
            Action::Delete => "delete",
            Action::Connect => "connectGet",
        }
    }

    fn query(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Action::List => LIST,
            Action::Create | Action::Replace => WRITE,
            Action::Patch => PATCH,
            Action::Delete => DELETE,
            Action::DeleteCollection => DELETE_COLLECTION,
            Action::Get | Action::Connect => &[],
        }
    }

    fn reads_options(self) -> bool {
        matches!(self, Action::Delete | Action::DeleteCollection)
    }
}

const LIST: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: &[(&str, &str)] =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: &[(&str, &str)] =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
const DELETE: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const DELETE_COLLECTION: &[(&str, &str)] = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
];
const PATCHES: [&str; 5] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
];
const ANSWERS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// What an operation is about.
pub(super) struct Target<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub kind: &'a str,
    /// `AppsV1NamespacedDeploymentScale`: the rest of the operationId.
    pub id: String,
    /// What is written and answered; none for connections.
    pub object: Option<Value>,
}

/// Writes one operation.
pub(super) fn operation(found: &mut Definitions<'_>, action: Action, target: &Target<'_>) -> Value {
    let mut operation = json!({
        "operationId": format!("{}{}", action.verb(), target.id),
        "tags": [tag(target)],
        "x-kubernetes-action": action.name(),
        "x-kubernetes-group-version-kind": {"group": target.group, "version": target.version, "kind": target.kind},
        "responses": responses(found, action, target),
    });
    let mut parameters: Vec<Value> =
        action.query().iter().map(|(name, kind)| parameter(found.form(), name, "query", kind)).collect();
    if let Some(body) = body(found, action, target) {
        match found.form() {
            Form::V2 => parameters.insert(
                0,
                json!({"in": "body", "name": "body", "required": !action.reads_options(), "schema": body}),
            ),
            Form::V3 => {
                operation["requestBody"] =
                    json!({"content": content(action, &body), "required": !action.reads_options()})
            }
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if found.form() == Form::V2 {
        operation["produces"] = json!(ANSWERS);
        operation["consumes"] = if action == Action::Patch { json!(PATCHES) } else { json!(["*/*"]) };
        operation["schemes"] = json!(["https"]);
    }
    operation
}

fn tag(target: &Target<'_>) -> String {
    let group = match target.group {
        "" => "core".to_owned(),
        group => super::paths::group_words(group),
    };
    format!("{}_{}", lower_first(&group), target.version)
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_lowercase().chain(characters).collect())
}

fn body(found: &mut Definitions<'_>, action: Action, target: &Target<'_>) -> Option<Value> {
    match action {
        Action::Create | Action::Replace => target.object.clone(),
        Action::Patch => Some(found.meta("Patch")),
        Action::Delete | Action::DeleteCollection => Some(found.meta("DeleteOptions")),
        Action::List | Action::Get | Action::Connect => None,
    }
}

fn content(action: Action, schema: &Value) -> Value {
    let types: &[&str] = if action == Action::Patch { &PATCHES } else { &["*/*"] };
    types
        .iter()
        .map(|name| ((*name).to_owned(), json!({"schema": schema})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn responses(found: &mut Definitions<'_>, action: Action, target: &Target<'_>) -> Value {
    let answer = match action {
        Action::DeleteCollection | Action::Delete => Some(found.meta("Status")),
        _ => target.object.clone(),
    };
    let codes: &[(&str, &str)] = match action {
        Action::Create => &[("200", "OK"), ("201", "Created"), ("202", "Accepted"), ("401", "Unauthorized")],
        Action::Replace | Action::Patch => &[("200", "OK"), ("201", "Created"), ("401", "Unauthorized")],
        Action::Delete => &[("200", "OK"), ("202", "Accepted"), ("401", "Unauthorized")],
        _ => &[("200", "OK"), ("401", "Unauthorized")],
    };
    let response = |(code, text): &(&str, &str)| {
        let mut response = json!({"description": text});
        if let Some(schema) = answer.as_ref().filter(|_| *code != "401") {
            match found.form() {
                Form::V2 => response["schema"] = schema.clone(),
                Form::V3 => {
                    response["content"] = ANSWERS
                        .iter()
                        .map(|name| ((*name).to_owned(), json!({"schema": schema})))
                        .collect::<serde_json::Map<_, _>>()
                        .into()
                }
            }
        }
        ((*code).to_owned(), response)
    };
    codes.iter().map(response).collect::<serde_json::Map<_, _>>().into()
}

/// A parameter of a path or a query.
pub(super) fn parameter(form: Form, name: &str, place: &str, kind: &str) -> Value {
    let mut parameter = json!({"name": name, "in": place, "uniqueItems": true});
    match form {
        Form::V2 => {
            parameter["type"] = kind.into();
        }
        Form::V3 => {
            let mut schema = json!({"type": kind, "uniqueItems": true});
            if kind == "integer" {
                schema["format"] = json!("int64");
            }
            parameter = json!({"name": name, "in": place, "schema": schema});
        }
    }
    if place == "path" {
        parameter["required"] = json!(true);
    }
    parameter
}
