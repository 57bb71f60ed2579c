//! PATCH with `application/apply-patch+yaml`: server-side apply.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/patch.go, `applyPatcher`.

use api::Validation;
use api::apply::ApplyError;
use serde_json::{Value, json};

use super::ownership::Ownership;
use super::write::Change;
use super::{Call, WriteOptions};
use crate::error::{ApiError, Cause, Result};
use crate::object;

/// A configuration as the client sent it.
pub struct Configuration {
    tree: Value,
    pub warnings: Vec<String>,
}

impl Configuration {
    /// # Errors
    /// 400 for what is no object of this kind.
    pub fn read(call: &Call, bytes: &[u8], options: &WriteOptions) -> Result<Self> {
        let (tree, problems) = parse(bytes)?;
        let warnings: Vec<String> =
            problems.iter().map(|problem| format!("error strict decoding YAML: {problem}")).collect();
        if options.validation == Validation::Strict
            && let Some(first) = warnings.first()
        {
            return Err(ApiError::bad_request(first.clone()));
        }
        let configuration = Self {
            tree,
            warnings: if options.validation == Validation::Warn { warnings } else { Vec::new() },
        };
        configuration.check_type(call)?;
        Ok(configuration)
    }

    fn check_type(&self, call: &Call) -> Result<()> {
        let text = |field: &str| self.tree[field].as_str().unwrap_or("");
        let (version, kind) = (text("apiVersion"), text("kind"));
        let (expected_version, expected_kind) = match call.scale_kind() {
            Some((version, kind)) => (version, kind),
            None => (call.served.api_version(), call.served.kind.clone()),
        };
        if kind.is_empty() {
            return Err(ApiError::bad_request(format!("Object 'Kind' is missing in '{}'", self.tree)));
        }
        if kind != expected_kind
            || api::split_api_version(version).0 != api::split_api_version(&expected_version).0
        {
            let (group, version) = api::split_api_version(version);
            return Err(ApiError::bad_request(format!(
                "invalid object type: {group}/{version}, Kind={kind}"
            )));
        }
        if version != expected_version {
            return Err(ApiError::bad_request(format!(
                "Incorrect version specified in apply patch. Specified patch version: {version}, expected: \
                 {expected_version}"
            )));
        }
        Ok(())
    }

    /// The same for another object: a Scale's replicas for those of a workload.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&Value) -> Value) -> Self {
        Self { tree: change(&self.tree), warnings: self.warnings.clone() }
    }
}

/// JSON is YAML; but it is read faster when it is known to be JSON.
fn parse(bytes: &[u8]) -> Result<(Value, Vec<String>)> {
    let undecodable = |why: String| ApiError::bad_request(format!("error decoding YAML: {why}"));
    let is_json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let as_json = if is_json { serde_json::from_slice(bytes).ok() } else { None }; // then it may still be YAML
    let (tree, problems) = match as_json {
        Some(tree) => (tree, Vec::new()),
        None => {
            let text = std::str::from_utf8(bytes).map_err(|error| undecodable(error.to_string()))?;
            api::codec::yaml_tree(text).map_err(|error| undecodable(error.to_string()))?
        }
    };
    match tree {
        Value::Object(_) => Ok((tree, problems)),
        other => Err(undecodable(format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type \
             map[string]interface {{}}",
            json_kind(&other)
        ))),
    }
}

fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        _ => "object",
    }
}

/// A configuration on its way into the object that the path names.
pub struct Apply<'a> {
    pub call: &'a Call,
    pub configuration: &'a Configuration,
    pub ownership: &'a Ownership<'a>,
    pub force: bool,
}

impl Apply<'_> {
    fn onto(&self, live: &Value) -> Result<Value> {
        let applied = self.ownership.with(|writer| writer.apply(live, &self.configuration.tree, self.force));
        let mut applied = applied.map_err(|error| self.refusal(error))?;
        self.call.check_place(&mut applied)?;
        let served = &self.call.served;
        let decoded = served.codec.reread(&applied, Validation::Ignore).map_err(|error| {
            ApiError::bad_request(format!("failed to convert the applied object: {error}"))
        })?;
        Ok(served.to_stored(decoded.value))
    }

    fn refusal(&self, error: ApplyError) -> ApiError {
        match error {
            ApplyError::HasManagedFields => ApiError::bad_request(error.to_string()),
            ApplyError::Unreadable => ApiError::new(500, "", error.to_string()),
            ApplyError::Malformed(why) => {
                let (group, version) =
                    api::split_api_version(self.configuration.tree["apiVersion"].as_str().unwrap_or(""));
                let place = match (self.call.namespace(), object::name(&self.configuration.tree)) {
                    ("", name) => name.to_owned(),
                    (namespace, name) => format!("{namespace}/{name}"),
                };
                let kind = &self.call.served.kind;
                let message = format!(
                    "failed to create typed patch object ({place}; {group}/{version}, Kind={kind}): {why}"
                );
                ApiError::new(500, "", message)
            }
            ApplyError::Conflicts(conflicts) => conflict(&conflicts),
        }
    }
}

/// Upstream: apimachinery/pkg/util/managedfields/internal/conflict.go.
fn conflict(conflicts: &[api::apply::Conflict]) -> ApiError {
    let causes = conflicts.iter().map(|conflict| Cause {
        reason: "FieldManagerConflict".into(),
        message: format!("conflict with {}", conflict.manager),
        field: conflict.path.clone(),
    });
    let message = match conflicts {
        [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.path),
        many => {
            let mut managers: Vec<&str> = many.iter().map(|one| one.manager.as_str()).collect();
            managers.sort_unstable();
            managers.dedup();
            let mut lines = Vec::new();
            for manager in managers {
                lines.push(format!("conflicts with {manager}:"));
                let theirs = many.iter().filter(|one| one.manager == manager);
                lines.extend(theirs.map(|one| format!("- {}", one.path)));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    ApiError::apply_conflict(message, causes.collect())
}

impl Change for Apply<'_> {
    fn apply(&self, old: &Value) -> Result<Value> {
        let served = &self.call.served;
        if served.is_stored_version() { self.onto(old) } else { self.onto(&served.to_served(old.clone())) }
    }

    fn create(&self) -> Option<Result<Value>> {
        if !self.call.info.subresource.is_empty() {
            return None;
        }
        let uid = object::meta(&self.configuration.tree, "uid");
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Some(Err(ApiError::conflict(&self.call.resource(), self.call.name(), &why)));
        }
        let served = &self.call.served;
        Some(self.onto(&json!({"apiVersion": served.api_version(), "kind": served.kind})))
    }

    /// The configuration says who owns what.
    fn is_tracked(&self) -> bool {
        false
    }
}
