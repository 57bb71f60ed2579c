//! Accepts tokens whose account, and whatever they are bound to, still exist.
//!
//! Upstream: pkg/serviceaccount/claims.go, `Validate`; pkg/serviceaccount/jwt.go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use stdx::Clock;

use super::claims::{Claims, Reference};
use super::{Issuer, TokenError, jwt};
use crate::auth::{AuthenticationError, Authenticator, Credentials, Objects, UserInfo, extra, fields};

/// Clocks may differ by this much; the leeway of upstream's JWT library.
const LEEWAY_SECONDS: i64 = 60;
/// An object that is being deleted vouches for its tokens this long after its deletion time.
const DELETION_LEEWAY: Duration = Duration::from_secs(60);

/// The authenticator of service accounts.
pub struct Verifier {
    issuer: Arc<Issuer>,
    objects: Arc<dyn Objects>,
    clock: Clock,
}

impl Verifier {
    pub fn new(issuer: Arc<Issuer>, objects: Arc<dyn Objects>, clock: Clock) -> Self {
        Self { issuer, objects, clock }
    }

    /// Who `token` is, and for which of `audiences` it was made. None if it is not one of ours at all.
    ///
    /// # Errors
    /// When it is one of ours and not good.
    pub async fn verify(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<(UserInfo, Vec<String>)>, TokenError> {
        if !self.is_ours(token) {
            return Ok(None);
        }
        let claims: Claims = jwt::verify(token, self.issuer.verifying())?;
        let audiences: Vec<String> = audiences.iter().filter(|a| claims.aud.contains(a)).cloned().collect();
        if audiences.is_empty() {
            return Err(TokenError::Audience);
        }
        self.check_time(&claims)?;
        self.check_objects(&claims).await?;
        Ok(Some((user(&claims), audiences)))
    }

    /// Upstream hands a token to this authenticator only if its issuer is the right one.
    fn is_ours(&self, token: &str) -> bool {
        // What cannot be read is not ours to judge.
        jwt::peek::<Value>(token).is_ok_and(|claims| claims["iss"] == self.issuer.name.as_str())
    }

    fn check_time(&self, claims: &Claims) -> Result<(), TokenError> {
        let now = self.clock.now().as_second();
        if now > claims.exp.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Expired);
        }
        if now < claims.nbf.saturating_sub(LEEWAY_SECONDS) {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }

    async fn check_objects(&self, claims: &Claims) -> Result<(), TokenError> {
        let kubernetes = &claims.kubernetes;
        let namespace = kubernetes.namespace.as_str();
        if !self.lives("serviceaccounts", namespace, &kubernetes.serviceaccount).await {
            return Err(TokenError::ServiceAccount);
        }
        let mut bound = vec![("pod", "pods", &kubernetes.pod), ("secret", "secrets", &kubernetes.secret)];
        // A pod's token names its node for information; only a token bound to the node alone depends on it.
        if kubernetes.pod.is_none() {
            bound.push(("node", "nodes", &kubernetes.node));
        }
        for (kind, resource, reference) in bound {
            let Some(reference) = reference else { continue };
            let namespace = if resource == "nodes" { "" } else { namespace };
            if !self.lives(resource, namespace, reference).await {
                return Err(TokenError::BoundObject { kind });
            }
        }
        Ok(())
    }

    async fn lives(&self, resource: &str, namespace: &str, reference: &Reference) -> bool {
        let Some(object) = self.objects.get("", resource, namespace, &reference.name).await else {
            return false;
        };
        fields::uid(&object) == reference.uid && !self.is_long_deleted(&object)
    }

    fn is_long_deleted(&self, object: &Value) -> bool {
        let deleted = fields::text(object, "/metadata/deletionTimestamp").parse::<Timestamp>();
        // An absent timestamp does not parse: it is not being deleted.
        deleted.is_ok_and(|at| self.clock.now() > at + DELETION_LEEWAY)
    }
}

#[async_trait]
impl Authenticator for Verifier {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<Option<UserInfo>, AuthenticationError> {
        let Some(token) = credentials.token else { return Ok(None) };
        let verified = self.verify(token, &self.issuer.audiences).await?;
        Ok(verified.map(|(user, _)| user))
    }
}

fn user(claims: &Claims) -> UserInfo {
    let kubernetes = &claims.kubernetes;
    let account = &kubernetes.serviceaccount;
    let mut user = UserInfo::service_account(&kubernetes.namespace, &account.name, &account.uid);
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(key.to_owned(), vec![value.to_owned()]);
        }
    };
    if !claims.jti.is_empty() {
        add(extra::CREDENTIAL_ID, &format!("JTI={}", claims.jti));
    }
    if let Some(pod) = &kubernetes.pod {
        add(extra::POD_NAME, &pod.name);
        add(extra::POD_UID, &pod.uid);
    }
    if let Some(node) = &kubernetes.node {
        add(extra::NODE_NAME, &node.name);
        add(extra::NODE_UID, &node.uid);
    }
    user
}
