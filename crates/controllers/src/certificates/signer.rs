//! Signs what was approved.
//!
//! Upstream: pkg/controller/certificates/signer/signer.go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::PostParams;
use pki::{Authority, CertificateRequest, RequestError, SignError};

use super::{add_condition, certificate, has, signers};
use crate::context::Context;

/// Longest life of a certificate (upstream's --cluster-signing-duration).
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Shortest that a request may ask for.
const SHORTEST: Duration = Duration::from_secs(600);

struct Signer {
    context: Context,
    requests: Store<CertificateSigningRequest>,
    authority: Authority,
}

pub(crate) async fn start(context: Context, authority: Authority) {
    let requests = context.hub.store::<CertificateSigningRequest>();
    if !requests.synced().await {
        return;
    }
    Controller::new("csr-signer", &context.hub).reconciles(&requests).run(Arc::new(Signer {
        context,
        requests,
        authority,
    }));
}

/// Why an approved request has no certificate.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("unable to parse csr {name:?}")]
    Parse { name: String, source: RequestError },
    #[error("error auto signing csr")]
    Sign(#[from] SignError),
}

/// What becomes of an approved request.
#[derive(Debug)]
enum Outcome {
    Certificate(String),
    Refused(String),
}

fn is_due(request: &CertificateSigningRequest) -> bool {
    has(request, "Approved")
        && !has(request, "Denied")
        && !has(request, "Failed")
        && certificate(request).is_none()
        && signers::is_ours(&request.spec.signer_name)
}

impl Signer {
    fn outcome(&self, request: &CertificateSigningRequest, name: &str) -> Result<Outcome, Error> {
        let text = String::from_utf8_lossy(&request.spec.request.0);
        let parsed = CertificateRequest::parse(&text)
            .map_err(|source| Error::Parse { name: name.to_owned(), source })?;
        let usages = request.spec.usages.clone().unwrap_or_default();
        if let Some(why) = signers::refusal(&request.spec.signer_name, &parsed, &usages) {
            return Ok(Outcome::Refused(why));
        }
        let asked = request.spec.expiration_seconds.map(|seconds| Duration::from_secs(seconds.max(0) as u64));
        let lifetime = asked.map_or(LONGEST, |asked| asked.clamp(SHORTEST, LONGEST));
        Ok(Outcome::Certificate(self.authority.sign(&parsed, &usages, lifetime, self.context.clock.now())?))
    }
}

#[async_trait]
impl Reconcile for Signer {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(request) = self.requests.get(key).filter(|request| is_due(request)) else {
            return Ok(Next::AwaitChange);
        };
        let mut answered = (*request).clone();
        match self.outcome(&request, &key.name)? {
            Outcome::Certificate(pem) => {
                answered.status.get_or_insert_default().certificate = Some(ByteString(pem.into_bytes()));
            }
            Outcome::Refused(why) => {
                let now = Time(self.context.clock.now());
                add_condition(&mut answered, "Failed", "SignerValidationFailure", why, now);
            }
        }
        let api: Api<CertificateSigningRequest> = Api::all(self.context.client.clone());
        match api.replace_status(&key.name, &PostParams::default(), &answered).await {
            Err(error) if !client::is_not_found(&error) => Err(error.into()),
            _ => Ok(Next::AwaitChange),
        }
    }
}
