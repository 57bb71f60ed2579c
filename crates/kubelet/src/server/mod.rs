//! The kubelet's HTTPS server: logs, exec, attach, port-forward, pods, stats, metrics.
//!
//! Upstream: pkg/kubelet/server. Reading order: [`listen`], [`auth`], [`routes`], [`containers`], [`relay`], [`stats`],
//! [`resource_metrics`].

mod auth;
mod containers;
mod listen;
pub(crate) mod query;
mod relay;
mod resource_metrics;
mod routes;
mod stats;

pub use listen::ServeError;
pub(crate) use listen::{Listener, serve};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An answer that is no success: what the client reads.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    fn answer(self) -> Response<Body> {
        answer(self.status, "text/plain; charset=utf-8", self.message + "\n")
    }
}

pub(crate) fn answer(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(text.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
