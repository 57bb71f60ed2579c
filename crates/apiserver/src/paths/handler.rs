//! The innermost stage: where a request is answered.

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;

use super::{discovery, health, openapi, version};
use crate::admission::Warnings;
use crate::auth::UserInfo;
use crate::error::{ApiError, Result};
use crate::path::{Next, Stage};
use crate::registry::Served;
use crate::server::Core;
use crate::streaming::Streaming;
use crate::verbs::{self, Call};
use crate::{Request, RequestInfo, Response};

/// Answers everything.
pub struct Handler {
    core: Arc<Core>,
}

impl Handler {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// The resource that the path names.
    fn served(&self, info: &RequestInfo) -> Option<Arc<Served>> {
        let found = self.core.registry.find(&info.api_group, &info.api_version, &info.resource)?;
        let right_prefix = (info.api_prefix == "api") == info.api_group.is_empty();
        // A namespaced collection may be read across namespaces, never written.
        let place = found.namespaced || info.namespace.is_empty() || info.resource == "namespaces";
        (right_prefix && place).then_some(found)
    }

    async fn resource(&self, request: Request) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let info = parts.extensions.get::<RequestInfo>().cloned().unwrap_or_default(); // set by the second layer
        let user = parts.extensions.get::<UserInfo>().cloned().ok_or_else(ApiError::unauthorized)?;
        let served = self.served(&info).ok_or_else(ApiError::no_such_path)?;
        if served.namespaced
            && info.namespace.is_empty()
            && !matches!(info.verb.as_str(), "list" | "watch" | "deletecollection")
        {
            return Err(ApiError::no_such_path());
        }
        if Streaming::serves(&info) {
            return self.core.streaming.serve(Request::from_parts(parts, body), &info, &user).await;
        }
        let call = Call {
            core: self.core.clone(),
            query: parts.uri.query().unwrap_or("").to_string(),
            headers: parts.headers.clone(),
            info,
            user,
            served,
            warnings: Warnings::default(),
        };
        verbs::serve(&call, body).await
    }

    fn document(&self, request: &Request) -> Result<Response> {
        let path = request.uri().path();
        let (core, headers) = (&self.core, request.headers());
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(if known(path) { ApiError::method_unknown() } else { ApiError::no_such_path() });
        }
        let trimmed = path.trim_end_matches('/');
        match trimmed {
            "/healthz" | "/livez" | "/readyz" => {
                Ok(health::ok(core, request.uri().query().unwrap_or(""), trimmed))
            }
            "/version" => Ok(version::version()),
            "/openapi/v2" => openapi::v2(core, headers),
            "/openapi/v3" => openapi::v3_index(core, headers),
            "/.well-known/openid-configuration" => Ok(version::openid(core)),
            "/openid/v1/jwks" => Ok(version::jwks(core)),
            "/metrics" => Ok(version::metrics(core)),
            "" => Ok(discovery::root(core)),
            "/api" | "/apis" => discovery::groups(core, headers, trimmed),
            _ => {
                if trimmed.starts_with("/livez/")
                    || trimmed.starts_with("/readyz/")
                    || trimmed.starts_with("/healthz/")
                {
                    return Ok(health::single());
                }
                if let Some(rest) = trimmed.strip_prefix("/openapi/v3/") {
                    return openapi::v3(core, headers, rest);
                }
                discovery::version_or_group(core, headers, trimmed)
            }
        }
    }
}

/// Whether a GET would be answered.
fn known(path: &str) -> bool {
    ["/api", "/apis", "/version", "/healthz", "/livez", "/readyz", "/openapi"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

#[async_trait]
impl Stage for Handler {
    async fn call(&self, request: Request, _next: Next<'_>) -> Result<Response> {
        let info = request.extensions().get::<RequestInfo>();
        let is_resource = info.is_some_and(|info| info.is_resource_request);
        if is_resource { self.resource(request).await } else { self.document(&request) }
    }
}
