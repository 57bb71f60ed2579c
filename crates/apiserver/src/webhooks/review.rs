//! The AdmissionReview: what a webhook is asked, and what its answer says.
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/webhook/{request,errors}.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Caller;
use super::client::CallError;
use super::hooks::Hook;
use crate::ApiError;
use crate::admission::{Operation, Request};
use crate::auth::fields;

/// What a webhook decided.
pub(super) struct Verdict {
    /// A JSON patch, if it wants a change.
    pub patch: Option<Vec<u8>>,
}

/// How a question can end without a verdict.
pub(super) enum Failure {
    /// The webhook does not want this write.
    Denied(ApiError),
    /// It could not be asked, or what it said means nothing.
    Failed(String),
    /// It must not be asked.
    Refused(ApiError),
}

impl Caller {
    /// Asks one webhook, and applies its failure policy: none if it is passed over.
    ///
    /// # Errors
    /// Its refusal, or its failure where that counts as one.
    pub(super) async fn consult(&self, hook: &Hook, request: &Request) -> Result<Option<Verdict>, ApiError> {
        match self.question(hook, request).await {
            Ok(verdict) => Ok(Some(verdict)),
            Err(Failure::Denied(error) | Failure::Refused(error)) => Err(error),
            Err(Failure::Failed(why)) if hook.fails_open() => {
                tracing::warn!(webhook = hook.name, error = why, "failed calling webhook, failing open");
                Ok(None)
            }
            Err(Failure::Failed(why)) => {
                Err(ApiError::internal(format!("failed calling webhook {:?}: {why}", hook.name)))
            }
        }
    }

    async fn question(&self, hook: &Hook, request: &Request) -> Result<Verdict, Failure> {
        if request.dry_run && hook.has_side_effects() {
            let why = format!("admission webhook {:?} does not support dry run", hook.name);
            return Err(Failure::Refused(ApiError::bad_request(why)));
        }
        let versions = fields::texts(&hook.value, "/admissionReviewVersions");
        let version = versions.into_iter().find(|version| matches!(*version, "v1" | "v1beta1"));
        let Some(version) = version else {
            return Err(Failure::Failed("webhook does not accept known AdmissionReview versions".into()));
        };
        let uid = self.random.uuid();
        let question = json!({
            "kind": "AdmissionReview",
            "apiVersion": format!("admission.k8s.io/{version}"),
            "request": asked(hook, request, &uid),
        });
        let answer = self.client.ask(&hook.value["clientConfig"], &question, hook.timeout()).await;
        let answer = answer.map_err(|error| Failure::Failed(told(&error)))?;
        verdict(hook, request, &answer, &uid).map_err(|failure| match failure {
            Failure::Failed(why) => Failure::Failed(format!("received invalid webhook response: {why}")),
            other => other,
        })
    }
}

fn told(error: &CallError) -> String {
    format!("failed to call webhook: {error}")
}

/// The AdmissionRequest.
pub(super) fn asked(hook: &Hook, request: &Request, uid: &str) -> Value {
    let seen = |object: &Option<Value>| match (object, &hook.served) {
        (Some(object), Some(served)) if request.operation != Operation::Connect => {
            served.to_served(object.clone())
        }
        (object, _) => object.clone().unwrap_or_default(),
    };
    let (group, version) = match &hook.served {
        Some(served) => (served.group.clone(), served.version.clone()),
        None => (request.resource.group.clone(), request.version.clone()),
    };
    let resource = request.resource.resource.as_str();
    let mut asked = json!({
        "uid": uid,
        "kind": {"group": group, "version": version, "kind": request.kind},
        "resource": {"group": group, "version": version, "resource": resource},
        "requestKind": {"group": request.resource.group, "version": request.version, "kind": request.kind},
        "requestResource": {"group": request.resource.group, "version": request.version, "resource": resource},
        "operation": match request.operation {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        },
        "userInfo": request.user,
        "object": seen(&request.object),
        "oldObject": seen(&request.old),
        "dryRun": request.dry_run,
        "options": request.options,
    });
    let texts = [
        ("subResource", &request.subresource),
        ("requestSubResource", &request.subresource),
        ("name", &request.name),
        ("namespace", &request.namespace),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        asked[field] = json!(text);
    }
    asked
}

fn verdict(hook: &Hook, request: &Request, answer: &Value, uid: &str) -> Result<Verdict, Failure> {
    let response = &answer["response"];
    if !response.is_object() {
        return Err(Failure::Failed("webhook response was absent".into()));
    }
    if fields::text(response, "/uid") != uid {
        let got = fields::text(response, "/uid");
        return Err(Failure::Failed(format!("expected response.uid={uid:?}, got {got:?}")));
    }
    for warning in fields::texts(response, "/warnings") {
        request.warn(warning);
    }
    if response["allowed"] != true {
        return Err(Failure::Denied(denial(&hook.name, &response["status"])));
    }
    let patch = fields::text(response, "/patch");
    if patch.is_empty() {
        return Ok(Verdict { patch: None });
    }
    match fields::text(response, "/patchType") {
        "JSONPatch" => {}
        "" => {
            return Err(Failure::Failed("webhook returned response.patch but not response.patchType".into()));
        }
        other => {
            return Err(Failure::Failed(format!("webhook returned invalid response.patchType of {other:?}")));
        }
    }
    let patch = STANDARD.decode(patch);
    let patch = patch.map_err(|error| Failure::Failed(format!("response.patch is no base64: {error}")))?;
    Ok(Verdict { patch: Some(patch) })
}

/// Reasons that a client may act on; others are told in the message alone.
const REASONS: [&str; 12] = [
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "Invalid",
    "Timeout",
    "TooManyRequests",
    "BadRequest",
    "MethodNotAllowed",
    "InternalError",
    "ServiceUnavailable",
];

fn denial(name: &str, status: &Value) -> ApiError {
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
    let code = if code < 400 { 400 } else { code };
    let (message, given) = (fields::text(status, "/message"), fields::text(status, "/reason"));
    let reason = REASONS.iter().find(|reason| **reason == given).copied().unwrap_or("");
    let start = format!("admission webhook {name:?} denied the request");
    let text = match (message, given) {
        ("", "") => format!("{start} without explanation"),
        ("", reason) => format!("{start}: {reason}"),
        (message, _) => format!("{start}: {message}"),
    };
    ApiError::new(code, reason, text)
}
