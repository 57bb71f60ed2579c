//! MutatingAdmissionWebhook: one after the other, each sees what those before have made of the object. Those that ask
//! for it are asked once more when the object changed after them.
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/webhook/mutating.

use async_trait::async_trait;
use serde_json::Value;

use super::Caller;
use super::hooks::Hook;
use crate::ApiError;
use crate::admission::{Admission, Operation, Request};

pub struct Mutating(pub Caller);

#[async_trait]
impl Admission for Mutating {
    fn name(&self) -> &'static str {
        "MutatingAdmissionWebhook"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        let hooks = self.0.hooks("mutatingwebhookconfigurations", request).await?;
        request.rounds.begin(request.object.as_ref());
        for hook in &hooks {
            if !request.rounds.asks(&hook.id) {
                continue;
            }
            let changed = self.change(hook, request).await?;
            if changed {
                request.rounds.changed();
            }
            if hook.is_reinvoked() {
                request.rounds.asked(&hook.id);
            }
        }
        request.rounds.end(request.object.as_ref());
        Ok(())
    }
}

impl Mutating {
    /// Whether the webhook changed the object.
    async fn change(&self, hook: &Hook, request: &mut Request) -> Result<bool, ApiError> {
        let Some(verdict) = self.0.consult(hook, request).await? else { return Ok(false) };
        let (Some(patch), Some(object)) = (verdict.patch, request.object.clone()) else { return Ok(false) };
        if matches!(request.operation, Operation::Delete | Operation::Connect) {
            return Ok(false);
        }
        let new = patched(hook, &object, &patch)?;
        let is_changed = new != object;
        request.object = Some(new);
        Ok(is_changed)
    }
}

fn patched(hook: &Hook, object: &Value, patch: &[u8]) -> Result<Value, ApiError> {
    let failed = |why: String| ApiError::internal(why).with_log(format!("webhook {:?}", hook.name));
    let Some(served) = &hook.served else {
        return Err(failed("the patched resource is not known".into()));
    };
    let mut tree = served.to_served(object.clone());
    api::patch::json(&mut tree, patch).map_err(|error| failed(error.to_string()))?;
    let decoded = served.codec.reread(&tree, api::Validation::Ignore);
    let decoded = decoded.map_err(|error| failed(error.to_string()))?;
    Ok(served.to_stored(decoded.value))
}
