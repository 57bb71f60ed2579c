//! The layers of the request path that are about identity and permission.
//!
//! Upstream: k8s.io/apiserver/pkg/endpoints/filters, authentication.go and authorization.go.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::{Attributes, AuthenticationError, Authenticator, Authorizer, Credentials, Decision, UserInfo};
use crate::path::{Next, Stage};
use crate::tls::PeerCertificate;
use crate::{ApiError, GroupResource, Request, RequestInfo, Response};

/// Paths that answer clients without credentials. Everything else asks who they are first.
const ANONYMOUS_PATHS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
/// A browser cannot set headers on a WebSocket, so its token travels as a subprotocol.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// Gives every request its [`UserInfo`] extension. Stands before everything that depends on who asks.
pub struct Authentication {
    authenticators: Vec<Arc<dyn Authenticator>>,
}

impl Authentication {
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>) -> Self {
        Self { authenticators }
    }

    /// Takes parts and not the request: bodies are not `Sync`, so no reference to them may live across an await.
    async fn identify(
        &self,
        credentials: Credentials<'_>,
        path: &str,
    ) -> Result<UserInfo, AuthenticationError> {
        let mut refusal = AuthenticationError::NoCredentials;
        for authenticator in &self.authenticators {
            match authenticator.authenticate(credentials).await {
                Ok(Some(user)) => return Ok(user),
                Ok(None) => {}
                Err(error) => refusal = error,
            }
        }
        let anonymous = credentials.is_empty() && is_anonymous(path);
        if anonymous { Ok(UserInfo::anonymous()) } else { Err(refusal) }
    }
}

#[async_trait]
impl Stage for Authentication {
    async fn call(&self, mut request: Request, next: Next<'_>) -> Result<Response, ApiError> {
        // Only a caller in this process can have put one there: no socket carries extensions.
        if request.extensions().get::<UserInfo>().is_none() {
            let token = take_token(request.headers_mut());
            let peer = request.extensions().get::<PeerCertificate>().cloned();
            let path = request.uri().path().to_owned();
            let credentials = Credentials { peer: peer.as_ref(), token: token.as_deref() };
            let user = self.identify(credentials, &path).await;
            let user = user.map_err(|error| ApiError::unauthorized().with_log(stdx::error_chain(&error)))?;
            request.extensions_mut().insert(user);
        }
        next.run(request).await
    }
}

fn is_anonymous(path: &str) -> bool {
    ANONYMOUS_PATHS.contains(&path)
}

/// The bearer token, removed from the headers so that nothing behind can leak it.
fn take_token(headers: &mut HeaderMap) -> Option<String> {
    let header = headers.remove(AUTHORIZATION);
    let bearer = header.as_ref().and_then(|value| bearer(value)).map(str::to_owned);
    bearer.or_else(|| take_protocol_token(headers))
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Upstream: k8s.io/apiserver/pkg/authentication/request/websocket.
fn take_protocol_token(headers: &mut HeaderMap) -> Option<String> {
    use base64::Engine;
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?.to_owned();
    let (tokens, rest): (Vec<&str>, Vec<&str>) =
        offered.split(',').map(str::trim).partition(|protocol| protocol.starts_with(TOKEN_PROTOCOL));
    // A token alone would leave the server no protocol to choose; two would be ambiguous.
    let ([token], false) = (tokens.as_slice(), rest.is_empty()) else { return None };
    let encoded = token.strip_prefix(TOKEN_PROTOCOL)?;
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let remaining = HeaderValue::from_str(&rest.join(", ")).ok()?;
    headers.insert(SEC_WEBSOCKET_PROTOCOL, remaining);
    String::from_utf8(decoded).ok()
}

/// Refuses what the user may not do. Stands after impersonation, before admission and every handler.
pub struct Authorization {
    authorizer: Arc<dyn Authorizer>,
}

impl Authorization {
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }
}

#[async_trait]
impl Stage for Authorization {
    async fn call(&self, request: Request, next: Next<'_>) -> Result<Response, ApiError> {
        let attributes = attributes(&request)?;
        check(self.authorizer.as_ref(), &attributes).await?;
        next.run(request).await
    }
}

/// The request as the authorizer sees it.
fn attributes(request: &Request) -> Result<Attributes, ApiError> {
    let user = request.extensions().get::<UserInfo>();
    let info = request.extensions().get::<RequestInfo>();
    match (user, info) {
        (Some(user), Some(info)) => Ok(Attributes::of(user, info)),
        _ => Err(ApiError::internal("the request has no user or no request info")),
    }
}

impl Attributes {
    /// What `info` says that `user` wants.
    pub fn of(user: &UserInfo, info: &RequestInfo) -> Self {
        Self {
            user: user.clone(),
            verb: info.verb.clone(),
            namespace: info.namespace.clone(),
            group: info.api_group.clone(),
            version: info.api_version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            name: info.name.clone(),
            path: info.path.clone(),
            is_resource: info.is_resource_request,
        }
    }
}

/// Passes if `authorizer` allows it.
///
/// # Errors
/// A 403 in upstream's words.
pub async fn check(authorizer: &dyn Authorizer, attributes: &Attributes) -> Result<(), ApiError> {
    match authorizer.authorize(attributes).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(forbidden(attributes, &reason)),
    }
}

/// Upstream: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters, `Forbidden`.
pub fn forbidden(attributes: &Attributes, reason: &str) -> ApiError {
    let message = attributes.forbidden_message();
    let why = if reason.is_empty() { message } else { format!("{message}: {reason}") };
    let resource = GroupResource::new(attributes.group.as_str(), attributes.resource.as_str());
    ApiError::forbidden(&resource, &attributes.name, &why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(headers: &[(&'static str, &str)]) -> (Option<String>, HeaderMap) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        (take_token(&mut map), map)
    }

    #[test]
    fn tokens_are_found_and_removed() {
        let (found, rest) = token(&[("authorization", "Bearer  abc ")]);
        assert_eq!((found.as_deref(), rest.len()), (Some("abc"), 0));
        assert_eq!(token(&[("authorization", "Basic abc")]).0, None);
        assert_eq!(token(&[("authorization", "Bearer")]).0, None);
        let offered = "base64url.bearer.authorization.k8s.io.YWJj, v5.channel.k8s.io";
        let (found, rest) = token(&[("sec-websocket-protocol", offered)]);
        assert_eq!(found.as_deref(), Some("abc"));
        assert_eq!(rest["sec-websocket-protocol"], "v5.channel.k8s.io");
    }
}
