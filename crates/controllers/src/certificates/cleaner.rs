//! Removes requests that are answered, forgotten, or whose certificate has expired.
//!
//! Upstream: pkg/controller/certificates/cleaner. Differs: each request has a timer of its own, not a scan an hour.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use super::{certificate, has};
use crate::context::Context;

/// What was answered stays this long.
const ANSWERED: Duration = Duration::from_secs(60 * 60);
/// What nobody answered.
const PENDING: Duration = Duration::from_secs(24 * 60 * 60);

struct Cleaner {
    context: Context,
    requests: Store<CertificateSigningRequest>,
}

pub(super) fn start(context: Context, requests: Store<CertificateSigningRequest>) {
    Controller::new("csr-cleaner", &context.hub)
        .reconciles(&requests)
        .workers(1)
        .run(Arc::new(Cleaner { context, requests }));
}

/// When a request is to go.
fn end(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    let since = |kind: &str| {
        let condition = conditions?.iter().find(|condition| condition.type_ == kind)?;
        condition.last_update_time.as_ref().map(|time| time.0 + ANSWERED)
    };
    let answered = ["Denied", "Failed"].into_iter().filter_map(since).min();
    let issued = certificate(request).and_then(|_| since("Approved"));
    let created = request.metadata.creation_timestamp.as_ref()?.0;
    let open = !has(request, "Approved") && !has(request, "Denied") && !has(request, "Failed");
    let pending = open.then(|| created + PENDING);
    // Approved, and nobody signs it: a signer of its own may still come, upstream waits an hour as well.
    let unsigned = certificate(request).is_none().then(|| since("Approved")).flatten();
    [answered, issued, pending, unsigned].into_iter().flatten().min()
}

#[async_trait]
impl Reconcile for Cleaner {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(request) = self.requests.get(key) else { return Ok(Next::AwaitChange) };
        let Some(end) = end(&request) else { return Ok(Next::AwaitChange) };
        let left = end.duration_since(self.context.clock.now());
        if let Ok(left) = Duration::try_from(left)
            && !left.is_zero()
        {
            return Ok(Next::After(left));
        }
        let same = Preconditions { uid: request.metadata.uid.clone(), resource_version: None };
        let api: Api<CertificateSigningRequest> = Api::all(self.context.client.clone());
        match api.delete(&key.name, &DeleteParams::default().preconditions(same)).await {
            Err(error) if !client::is_not_found(&error) => Err(error.into()),
            _ => Ok(Next::AwaitChange),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn end_of(status: Value) -> Option<i64> {
        let request = json!({"metadata": {"name": "r", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"request": "", "signerName": "s"}, "status": status});
        let request = serde_json::from_value(request).expect("a request");
        end(&request).map(|end| end.as_second())
    }

    #[test]
    fn each_state_has_its_time() {
        let condition =
            |kind: &str| json!([{"type": kind, "status": "True", "lastUpdateTime": "1970-01-01T00:00:10Z"}]);
        assert_eq!(end_of(json!({})), Some(86400));
        for kind in ["Denied", "Failed", "Approved"] {
            assert_eq!(end_of(json!({"conditions": condition(kind)})), Some(3610), "{kind}");
        }
    }
}
