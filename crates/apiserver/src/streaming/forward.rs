//! Passes a request on and its answer back; after a 101, copies both directions until either end closes.
//!
//! Upstream: apimachinery/pkg/util/proxy/upgradeaware.go.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use stdx::{Shutdown, Tasks};

use super::connect::{ConnectError, Connector};
use super::target::Endpoint;
use crate::{ApiError, Body, BoxError, GroupResource, Request, Response, body};

/// As much of an error's text is passed on. Upstream: `maxReadLength`.
const ERROR_TEXT_BYTES: usize = 50_000;
/// Headers that are about one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The client's body failed. A type of its own, since the compiler cannot prove futures over boxed errors `Send`.
#[derive(Debug, thiserror::Error)]
#[error("the request's body ended early")]
struct SourceError(#[source] BoxError);

pub(super) struct Forwarder {
    connector: Connector,
    tasks: Tasks,
    shutdown: Shutdown,
}

impl Forwarder {
    pub fn new(connector: Connector, tasks: Tasks, shutdown: Shutdown) -> Self {
        Self { connector, tasks, shutdown }
    }

    /// Sends `request` to `path` of `endpoint`.
    ///
    /// # Errors
    /// When the other end cannot be reached or speaks no HTTP. Its refusals are answers.
    pub async fn forward(
        &self,
        endpoint: &Endpoint,
        path: PathAndQuery,
        mut request: Request,
    ) -> Result<Response, ConnectError> {
        let client = is_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let stream = self.connector.connect(endpoint).await?;
        let failed = |source| ConnectError::Http { authority: endpoint.authority(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        self.tasks.spawn("forwarded connection", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "forwarded connection ended");
            }
        });
        rewrite(&mut request, endpoint, path, client.is_some());
        let request = request.map(|body| body.map_err(SourceError).boxed_unsync());
        let mut response = sender.send_request(request).await.map_err(failed)?;
        match client {
            Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let backend = hyper::upgrade::on(&mut response);
                self.splice(client, backend);
                Ok(response.map(|_| body::empty()))
            }
            _ => {
                strip(response.headers_mut());
                Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
            }
        }
    }

    /// Copies until either end closes, or the server stops.
    fn splice(&self, client: OnUpgrade, backend: OnUpgrade) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn("upgraded connection", async move {
            let copied = tokio::select! {
                copied = copy(client, backend) => copied,
                () = shutdown.wait() => Ok(()),
            };
            if let Err(error) = copied {
                // Either end may hang up at any time.
                tracing::debug!(error, "upgraded connection ended");
            }
        });
    }
}

async fn copy(client: OnUpgrade, backend: OnUpgrade) -> Result<(), BoxError> {
    let (client, backend): (Upgraded, Upgraded) = tokio::try_join!(client, backend)?;
    tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(backend)).await?;
    Ok(())
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    // A header that is no text asks for nothing that we know.
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut words = connection.flat_map(|value| value.split(','));
    headers.contains_key(header::UPGRADE) && words.any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
}

/// Makes the client's request ours.
fn rewrite(request: &mut Request, endpoint: &Endpoint, path: PathAndQuery, upgrade: bool) {
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = http::Version::HTTP_11;
    let protocol = request.headers_mut().remove(header::UPGRADE);
    strip(request.headers_mut());
    let headers = request.headers_mut();
    if let Some(protocol) = protocol.filter(|_| upgrade) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    let host = HeaderValue::from_str(&endpoint.authority());
    headers.insert(header::HOST, host.expect("an authority is visible ASCII"));
}

fn strip(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A kubelet's refusal as an error of the request that led to it.
///
/// Upstream: k8s.io/apiserver/pkg/registry/generic/rest/response_checker.go.
pub(super) async fn refusal(response: Response, resource: &GroupResource, name: &str) -> ApiError {
    let status = response.status();
    let text = text(response.into_body(), ERROR_TEXT_BYTES).await.unwrap_or_else(|why| why);
    match status {
        StatusCode::INTERNAL_SERVER_ERROR => ApiError::internal(text),
        StatusCode::BAD_REQUEST => ApiError::bad_request(text),
        StatusCode::NOT_FOUND => {
            let message =
                format!("the server could not find the requested resource ({resource} {name}): {text}");
            ApiError::new(404, "NotFound", message)
        }
        status => ApiError::new(status.as_u16(), "", text),
    }
}

/// The beginning of `body`, which is a text, or why it cannot be read.
pub(super) async fn text(mut body: Body, longest: usize) -> Result<String, String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            // Trailers say nothing.
            Ok(Err(_)) => {}
            Err(error) => return Err(format!("the answer cannot be read: {error}")),
        }
        if bytes.len() >= longest {
            bytes.truncate(longest);
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
