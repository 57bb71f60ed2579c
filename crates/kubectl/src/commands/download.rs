//! Manifests from URLs.

use std::time::Duration;

use crate::config::Access;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::rest::{Ask, Rest};

/// The text at `url`.
///
/// # Errors
/// Nobody answers, or the answer is no success.
pub async fn get(_: &Context, url: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (host, path) = match rest.find('/') {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, "/"),
    };
    let access = Access { server: format!("{scheme}://{host}"), ..Access::default() };
    let server = Rest::new(access, Some(Duration::from_secs(60)), 0)?;
    let ask = Ask { accept: "*/*", ..Ask::get(path) };
    let bytes = server.bytes(&ask).await.map_err(|error| match error {
        Error::Status(status) => Error::said(format!(
            "unable to read URL {url:?}, server reported {} , status code={}",
            status.reason, status.code
        )),
        other => other,
    })?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::said(format!("{url} is no text")))
}
