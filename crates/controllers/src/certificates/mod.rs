//! Certificate requests: those of kubelets are approved, approved ones are signed, old ones are removed.
//!
//! Upstream: pkg/controller/certificates. [`signers`] says what each signer demands, [`approver`], [`signer`] and
//! [`cleaner`] act.

mod approver;
mod cleaner;
mod signer;
mod signers;

pub(crate) use signer::start as start_signer;

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::context::Context;

/// Starts approver and cleaner, which need no key.
pub(crate) async fn start(context: Context) {
    let requests = context.hub.store::<CertificateSigningRequest>();
    if !requests.synced().await {
        return;
    }
    approver::start(context.clone(), requests.clone());
    cleaner::start(context, requests);
}

fn has(request: &CertificateSigningRequest, kind: &str) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}

fn certificate(request: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    Some(certificate.0.as_slice()).filter(|certificate| !certificate.is_empty())
}

fn add_condition(
    request: &mut CertificateSigningRequest,
    kind: &str,
    reason: &str,
    message: String,
    now: Time,
) {
    let conditions = request.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions.push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now),
    });
}

/// The request itself; none where it cannot be read.
fn parse(request: &CertificateSigningRequest) -> Option<pki::CertificateRequest> {
    // What cannot be read is nobody's to approve; the signer tells why.
    pki::CertificateRequest::parse(std::str::from_utf8(&request.spec.request.0).ok()?).ok()
}
