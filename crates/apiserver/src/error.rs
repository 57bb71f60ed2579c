//! What a request can fail with. Built from structure, never from another error's text; it becomes a `Status`
//! in exactly one place, [`ApiError::status`].
//!
//! Upstream: apimachinery/pkg/api/errors/errors.go.

use std::fmt;

use serde_json::{Map, Value, json};

/// A resource without its version, as messages spell it: `deployments.apps`, `pods`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    pub group: String,
    pub resource: String,
}

impl GroupResource {
    pub fn new(group: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// One reason among several, in `details.causes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

/// `Status.details`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

/// A failed request: what the client reads, and beside it what only the log reads.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: u16,
    reason: &'static str,
    message: String,
    details: Option<Details>,
    /// For the log; never sent.
    log: Option<String>,
    /// The continue token that a 410 on a list offers.
    continue_token: Option<String>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

/// The result of everything on the request path.
pub type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    /// Any answer, for the constructors here and the few texts that exist once.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            reason,
            message: message.into(),
            details: None,
            log: None,
            continue_token: None,
        }))
    }

    pub fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }

    /// What the log should say beyond the client's text.
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.0.log = Some(log.into());
        self
    }

    pub fn with_continue(mut self, token: String) -> Self {
        self.0.continue_token = Some(token);
        self
    }

    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        self.0.details.get_or_insert_default().causes.push(Cause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        });
        self
    }

    fn about(self, resource: &GroupResource, name: &str) -> Self {
        self.with_details(Details {
            name: name.into(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            ..Details::default()
        })
    }

    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found")).about(resource, name)
    }

    /// The path leads nowhere.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
            .with_details(Details::default())
    }

    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} \"{name}\" already exists")).about(resource, name)
    }

    /// A generated name was taken again and again.
    pub fn generate_name_conflict(resource: &GroupResource, name: &str) -> Self {
        let message = format!(
            "{resource} \"{name}\" already exists, the server was not able to generate a unique name for the object"
        );
        Self::new(409, "AlreadyExists", message).about(resource, name).with_retry_after(1)
    }

    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// The optimistic lock failed.
    pub fn modified(resource: &GroupResource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// Server-side apply would take fields from another manager. `causes` holds one entry a field.
    pub fn apply_conflict(message: impl Into<String>, causes: Vec<Cause>) -> Self {
        Self::new(409, "Conflict", message).with_details(Details { causes, ..Details::default() })
    }

    /// The object breaks rules. `kind` with `group` as in `Deployment.apps`.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[(String, String, String)]) -> Self {
        let causes: Vec<Cause> = errors
            .iter()
            .map(|(reason, message, field)| Cause {
                reason: reason.clone(),
                message: message.clone(),
                field: field.clone(),
            })
            .collect();
        let texts: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let said = match texts.as_slice() {
            [] => String::new(),
            [one] => format!(": {one}"),
            many => format!(": [{}]", many.join(", ")),
        };
        let qualified = GroupResource::new(group, kind);
        Self::new(422, "Invalid", format!("{qualified} \"{name}\" is invalid{said}")).with_details(Details {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            causes,
            ..Details::default()
        })
    }

    /// The same from what validation found.
    pub fn invalid_fields(group: &str, kind: &str, name: &str, errors: &api::FieldErrors) -> Self {
        // An error of the object itself has upstream's word for no path.
        let place = |path: &str| if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() };
        let problems: Vec<(String, String, String)> = errors
            .iter()
            .map(|error| (error.kind.cause().to_string(), error.body(), place(&error.path)))
            .collect();
        Self::invalid(group, kind, name, &problems)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// `why` is the reason's text, as the authorizer or an admission plugin gives it.
    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = match (resource.resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{resource} is forbidden: {why}"),
            (false, false) => format!("{resource} \"{name}\" is forbidden: {why}"),
        };
        Self::new(403, "Forbidden", message).about(resource, name)
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn method_not_allowed(resource: &GroupResource, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self::new(405, "MethodNotAllowed", message).about(resource, "")
    }

    /// The method means nothing on this path.
    pub fn method_unknown() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
            .with_details(Details::default())
    }

    /// None of the media types that the client accepts can be made.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        let message = format!("only the following media types are accepted: {list}");
        Self::new(406, "NotAcceptable", message)
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {list}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The wanted past is compacted away.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "Gone", message)
    }

    pub fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// Something here is broken: the client learns that it is, the log learns what.
    pub fn internal(log: impl Into<String>) -> Self {
        let log = log.into();
        let message = format!("Internal error occurred: {log}");
        let cause = Cause { message: log.clone(), ..Cause::default() };
        Self::new(500, "InternalError", message)
            .with_details(Details { causes: vec![cause], ..Details::default() })
            .with_log(log)
    }

    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {}", message.into()))
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message)
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    pub fn code(&self) -> u16 {
        self.0.code
    }

    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// What the log should know beyond the answer.
    pub fn log(&self) -> Option<&str> {
        self.0.log.as_deref()
    }

    /// For the `Retry-After` header; 0 when there is nothing to say.
    pub fn retry_after_seconds(&self) -> u32 {
        self.details().map_or(0, |details| details.retry_after_seconds)
    }

    /// The `Status` object that the client reads. The only place where an error becomes one.
    pub fn status(&self) -> Value {
        let parts = &self.0;
        let mut metadata = Map::new();
        if let Some(token) = &parts.continue_token {
            metadata.insert("continue".into(), json!(token));
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": parts.message,
            "code": parts.code,
        });
        if !parts.reason.is_empty() {
            status["reason"] = json!(parts.reason);
        }
        if let Some(details) = &parts.details {
            status["details"] = details.value();
        }
        status
    }
}

impl Details {
    fn value(&self) -> Value {
        let mut out = Map::new();
        let texts = [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)];
        for (field, text) in texts {
            if !text.is_empty() {
                out.insert(field.into(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            out.insert("causes".into(), self.causes.iter().map(Cause::value).collect());
        }
        if self.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".into(), json!(self.retry_after_seconds));
        }
        Value::Object(out)
    }
}

impl Cause {
    fn value(&self) -> Value {
        let mut out = Map::new();
        let texts = [("reason", &self.reason), ("message", &self.message), ("field", &self.field)];
        for (field, text) in texts {
            if !text.is_empty() {
                out.insert(field.into(), json!(text));
            }
        }
        Value::Object(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        let deployments = GroupResource::new("apps", "deployments");
        let cases = [
            (ApiError::not_found(&deployments, "web"), r#"deployments.apps "web" not found"#),
            (ApiError::already_exists(&deployments, "web"), r#"deployments.apps "web" already exists"#),
            (
                ApiError::modified(&deployments, "web"),
                r#"Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes to the latest version and try again"#,
            ),
            (
                ApiError::invalid(
                    "apps",
                    "Deployment",
                    "web",
                    &[("FieldValueRequired".into(), "Required value".into(), "spec".into())],
                ),
                r#"Deployment.apps "web" is invalid: spec: Required value"#,
            ),
            (ApiError::forbidden(&deployments, "", "no"), "deployments.apps is forbidden: no"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
