//! Approves the client certificates of kubelets whose sender may have them.
//!
//! Upstream: pkg/controller/certificates/approver/sarapprove.go.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::PostParams;

use super::signers::{KUBELET_CLIENT, kubelet_client};
use super::{add_condition, certificate, has, parse};
use crate::context::Context;

struct Approver {
    context: Context,
    requests: Store<CertificateSigningRequest>,
}

pub(super) fn start(context: Context, requests: Store<CertificateSigningRequest>) {
    Controller::new("csr-approver", &context.hub)
        .reconciles(&requests)
        .run(Arc::new(Approver { context, requests }));
}

/// The right that the sender needs, and what is said of the approval.
type Claim = (&'static str, &'static str);

const SELF: Claim =
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
const ANY: Claim = ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");

/// What the sender may claim; none for a request that is no kubelet's.
fn claims(request: &CertificateSigningRequest) -> Vec<Claim> {
    let open = certificate(request).is_none() && !has(request, "Approved") && !has(request, "Denied");
    let Some(parsed) = parse(request).filter(|_| open && request.spec.signer_name == KUBELET_CLIENT) else {
        return Vec::new();
    };
    let usages = request.spec.usages.clone().unwrap_or_default();
    if kubelet_client(&parsed, &usages).is_some() {
        return Vec::new();
    }
    let own = request.spec.username.as_deref() == Some(parsed.common_name.as_str());
    own.then_some(SELF).into_iter().chain([ANY]).collect()
}

/// Recognized, but its sender may not have it: looked at again later, since rights may be granted meanwhile.
#[derive(Debug, thiserror::Error)]
#[error("recognized csr {name:?} as {tried:?} but subject access review was not approved")]
struct NotApproved {
    name: String,
    tried: Vec<&'static str>,
}

#[async_trait]
impl Reconcile for Approver {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(request) = self.requests.get(key) else { return Ok(Next::AwaitChange) };
        let claims = claims(&request);
        for (right, message) in &claims {
            if self.may(&request, right).await? {
                self.approve(&request, message).await?;
                return Ok(Next::AwaitChange);
            }
        }
        if claims.is_empty() {
            return Ok(Next::AwaitChange);
        }
        let tried = claims.iter().map(|(right, _)| *right).collect();
        Err(NotApproved { name: key.name.clone(), tried }.into())
    }
}

impl Approver {
    async fn may(&self, request: &CertificateSigningRequest, right: &str) -> kube::Result<bool> {
        let asked = ResourceAttributes {
            group: Some("certificates.k8s.io".into()),
            resource: Some("certificatesigningrequests".into()),
            subresource: Some(right.into()),
            verb: Some("create".into()),
            version: Some("*".into()),
            ..ResourceAttributes::default()
        };
        let sender = request.spec.clone();
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: sender.username,
                uid: sender.uid,
                groups: sender.groups,
                extra: sender.extra,
                resource_attributes: Some(asked),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.context.client.clone());
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn approve(&self, request: &CertificateSigningRequest, message: &str) -> kube::Result<()> {
        let mut approved = request.clone();
        add_condition(
            &mut approved,
            "Approved",
            "AutoApproved",
            message.into(),
            Time(self.context.clock.now()),
        );
        let api: Api<CertificateSigningRequest> = Api::all(self.context.client.clone());
        let name = request.metadata.name.as_deref().unwrap_or_default();
        match api.replace_subresource("approval", name, &PostParams::default(), &approved).await {
            Err(error) if client::is_not_found(&error) => Ok(()),
            result => result.map(|_| ()),
        }
    }
}
