//! CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may have a signer's name under a
//! certificate, and which names nobody may have.
//!
//! Upstream: plugin/pkg/admission/certificates.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Admission, Operation, Request};
use crate::ApiError;
use crate::auth::{Attributes, Authorizer, fields, group};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Approving is for those who may `approve` for the signer, signing for those who may `sign`.
pub(super) struct Signers {
    pub authorizer: Arc<dyn Authorizer>,
}

#[async_trait]
impl Admission for Signers {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        if request.operation != Operation::Update {
            return Ok(());
        }
        let (Some(new), Some(old)) = (&request.object, &request.old) else { return Ok(()) };
        let verb = match request.subresource.as_str() {
            "approval" => "approve",
            "status" if signs(new, old) => "sign",
            _ => return Ok(()),
        };
        if !request.is_sub(GROUP, REQUESTS, &request.subresource) {
            return Ok(());
        }
        let signer = fields::text(old, "/spec/signerName");
        if self.may(request, verb, signer).await {
            return Ok(());
        }
        Err(request.forbidden(format!("user not permitted to {verb} requests with signerName {signer:?}")))
    }
}

/// A certificate, or the word that there will be none.
fn signs(new: &Value, old: &Value) -> bool {
    let failed = |object: &Value| -> Vec<Value> {
        let conditions = fields::list(object, "/status/conditions").iter();
        conditions.filter(|condition| condition["type"] == "Failed").cloned().collect()
    };
    new["status"]["certificate"] != old["status"]["certificate"] || failed(new) != failed(old)
}

impl Signers {
    /// For the signer itself, or for all of its domain.
    async fn may(&self, request: &Request, verb: &str, signer: &str) -> bool {
        let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
        for name in [signer.to_owned(), format!("{domain}/*")] {
            let attributes =
                Attributes { name, ..Attributes::resource(&request.user, verb, GROUP, "signers") };
            if self.authorizer.authorize(&attributes).await.is_allowed() {
                return true;
            }
        }
        false
    }
}

/// No client certificate makes its holder a master.
pub(super) struct SubjectRestriction;

#[async_trait]
impl Admission for SubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        if !request.creates(GROUP, REQUESTS) {
            return Ok(());
        }
        let Some(object) = &request.object else { return Ok(()) };
        if fields::text(object, "/spec/signerName") != CLIENT_SIGNER {
            return Ok(());
        }
        let is_master = STANDARD
            .decode(fields::text(object, "/spec/request"))
            .is_ok_and(|pem| organizations(&pem).iter().any(|name| name == group::MASTERS));
        if !is_master {
            return Ok(());
        }
        Err(request
            .forbidden(format!("use of {CLIENT_SIGNER} signer with {} group is not allowed", group::MASTERS)))
    }
}

/// What is no request has no organizations; that it is none is told by validation.
fn organizations(pem: &[u8]) -> Vec<String> {
    use x509_parser::prelude::{FromDer, X509CertificationRequest};
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem) else { return Vec::new() };
    let Ok((_, request)) = X509CertificationRequest::from_der(&pem.contents) else { return Vec::new() };
    let names = request.certification_request_info.subject.iter_organization();
    names.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::GroupResource;
    use crate::admission::{Rounds, Warnings};
    use crate::auth::{Decision, UserInfo};

    /// Allows to approve for one signer, and to sign for a domain.
    struct Some;

    #[async_trait]
    impl Authorizer for Some {
        async fn authorize(&self, attributes: &Attributes) -> Decision {
            let asked = (attributes.verb.as_str(), attributes.name.as_str());
            match asked {
                ("approve", "a.test/one") | ("sign", "a.test/*") => Decision::Allow(String::new()),
                _ => Decision::NoOpinion(String::new()),
            }
        }
    }

    async fn check(subresource: &str, signer: &str, status: Value, expected: Expect) {
        let object = |status: Value| json!({"spec": {"signerName": signer}, "status": status});
        let request = Request {
            operation: Operation::Update,
            resource: GroupResource::new(GROUP, REQUESTS),
            version: "v1".into(),
            kind: String::new(),
            subresource: subresource.into(),
            namespace: String::new(),
            name: "r".into(),
            object: Option::Some(object(status)),
            old: Option::Some(object(json!({}))),
            options: Value::Null,
            user: UserInfo::new("bob", &[]),
            dry_run: false,
            warnings: Warnings::default(),
            rounds: Rounds::default(),
        };
        let outcome = Signers { authorizer: Arc::new(Some) }.validate(&request).await;
        expected.assert_eq(&outcome.map_or_else(|error| error.to_string(), |()| "admitted".to_owned()));
    }

    #[tokio::test]
    async fn signers_have_their_own_rights() {
        let signed = || json!({"certificate": "x"});
        check("approval", "a.test/one", json!({}), expect!["admitted"]).await;
        check("approval", "a.test/two", json!({}), expect![[r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to approve requests with signerName "a.test/two""#]]).await;
        check("status", "a.test/two", signed(), expect!["admitted"]).await;
        check("status", "b.test/two", signed(), expect![[r#"certificatesigningrequests.certificates.k8s.io "r" is forbidden: user not permitted to sign requests with signerName "b.test/two""#]]).await;
        check("status", "b.test/two", json!({"other": 1}), expect!["admitted"]).await;
    }
}
