//! Who asks. Before everything that depends on it.
//!
//! In-process callers arrive with their [`UserInfo`] as an extension, which nothing from a socket can carry.
//!
//! Upstream: apiserver/pkg/endpoints/filters/authentication.go.

use std::sync::Arc;

use async_trait::async_trait;
use http::header;

use super::{Next, Stage};
use crate::auth::{AuthenticationError, Authenticator, Credentials, UserInfo};
use crate::error::{ApiError, Result};
use crate::media::header_text;
use crate::tls::PeerCertificate;
use crate::{Request, Response};

pub(super) struct Authentication {
    authenticator: Arc<dyn Authenticator>,
}

impl Authentication {
    pub fn new(authenticator: Arc<dyn Authenticator>) -> Self {
        Self { authenticator }
    }

    async fn identify(&self, request: &Request) -> Result<UserInfo> {
        let token = bearer_token(request)?;
        let peer = request.extensions().get::<PeerCertificate>();
        let credentials = Credentials { peer, token: token.as_deref() };
        match self.authenticator.authenticate(credentials).await {
            Ok(Some(user)) => Ok(user),
            Ok(None) if token.is_none() => Ok(UserInfo::anonymous()),
            Err(AuthenticationError::NoCredentials) if token.is_none() => Ok(UserInfo::anonymous()),
            Ok(None) => Err(ApiError::unauthorized()),
            Err(error) => {
                tracing::warn!(error = stdx::error_chain(&error), "request refused");
                Err(ApiError::unauthorized())
            }
        }
    }
}

#[async_trait]
impl Stage for Authentication {
    async fn call(&self, mut request: Request, next: Next<'_>) -> Result<Response> {
        if request.extensions().get::<UserInfo>().is_none() {
            let user = self.identify(&request).await?;
            request.extensions_mut().insert(user);
        }
        // Nothing behind this layer has any use for the secret.
        request.headers_mut().remove(header::AUTHORIZATION);
        next.run(request).await
    }
}

/// From the Authorization header, or, for browsers' WebSockets, from the list of protocols.
///
/// Upstream: authentication/request/websocket/protocol.go.
fn bearer_token(request: &Request) -> Result<Option<String>> {
    let text = header_text(request.headers(), header::AUTHORIZATION);
    if let Some((scheme, token)) = text.trim().split_once(' ')
        && scheme.eq_ignore_ascii_case("bearer")
        && !token.trim().is_empty()
    {
        return Ok(Some(token.trim().to_string()));
    }
    let protocols = header_text(request.headers(), header::SEC_WEBSOCKET_PROTOCOL);
    let Some(encoded) = protocols
        .split(',')
        .find_map(|protocol| protocol.trim().strip_prefix("base64url.bearer.authorization.k8s.io."))
    else {
        return Ok(None);
    };
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded);
    let token = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()); // either way it is no token
    token.map(Some).ok_or_else(ApiError::unauthorized)
}
