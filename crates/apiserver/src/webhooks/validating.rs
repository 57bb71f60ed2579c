//! ValidatingAdmissionWebhook: all that match are asked at once; one refusal is enough.
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/webhook/validating.

use async_trait::async_trait;
use futures::future::join_all;

use super::Caller;
use crate::ApiError;
use crate::admission::{Admission, Request};

pub struct Validating(pub Caller);

#[async_trait]
impl Admission for Validating {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        let hooks = self.0.hooks("validatingwebhookconfigurations", request).await?;
        let verdicts = join_all(hooks.iter().map(|hook| self.0.consult(hook, request))).await;
        verdicts.into_iter().collect::<Result<Vec<_>, _>>().map(|_| ())
    }
}
