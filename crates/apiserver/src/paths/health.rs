//! `/healthz`, `/livez`, `/readyz`.
//!
//! Upstream: apiserver/pkg/server/healthz.

use http::{HeaderValue, header};

use crate::request_info::form_pairs;
use crate::server::Core;
use crate::{Response, body};

/// The server answers requests only once everything is there, so a server that answers is ready until it stops.
pub fn ok(core: &Core, query: &str, path: &str) -> Response {
    let name = path.trim_start_matches('/');
    if core.shutdown.is_triggered() && name == "readyz" {
        let mut response = text("[-]shutdown failed: reason withheld\nreadyz check failed\n".into());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    }
    if form_pairs(query).iter().any(|(key, _)| key == "verbose") {
        return text(format!(
            "[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]informer-sync ok\n{name} check passed\n"
        ));
    }
    text("ok".into())
}

pub fn single() -> Response {
    text("ok".into())
}

pub fn text(text: String) -> Response {
    let mut response = Response::new(body::full(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
