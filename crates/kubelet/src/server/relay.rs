//! Passes a request on to the runtime's streaming server and then copies bytes both ways: WebSocket and SPDY alike.

use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use stdx::error_chain;
use tokio::net::TcpStream;

use super::{Body, BoxError, Refusal};
use crate::context::Context;

/// Relays `request` to `url`.
pub(super) async fn relay(
    context: &Context,
    url: &str,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let failed = |what: &str, error: &dyn std::error::Error| {
        Refusal::new(StatusCode::BAD_GATEWAY, format!("{what}: {}", error_chain(error)))
    };
    let url: Uri =
        url.parse().map_err(|e: http::uri::InvalidUri| failed("unusable streaming address", &e))?;
    let authority =
        url.authority().ok_or_else(|| Refusal::internal("streaming address without a host"))?.clone();
    let address = authority.port().map_or_else(|| format!("{authority}:80"), |_| authority.to_string());
    let stream = TcpStream::connect(&address).await.map_err(|e| failed("error dialing backend", &e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| failed("error dialing backend", &e))?;
    context.tasks.spawn("streaming connection", async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = error_chain(&error), "streaming connection ended");
        }
    });
    let client = hyper::upgrade::on(&mut request);
    let onward =
        onward(request, &url, authority.as_str()).map_err(|e| failed("unusable streaming address", &e))?;
    let mut response = sender.send_request(onward).await.map_err(|e| failed("error dialing backend", &e))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let runtime = hyper::upgrade::on(&mut response);
        let shutdown = context.shutdown.clone();
        context.tasks.spawn("stream", async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = copy(client, runtime) => {}
            }
        });
    }
    Ok(response.map(|body| body.map_err(|error| Box::new(error) as BoxError).boxed_unsync()))
}

/// The same request for another host and path.
fn onward(request: Request<Incoming>, url: &Uri, authority: &str) -> Result<Request<Incoming>, http::Error> {
    let (mut parts, body) = request.into_parts();
    let path = match (url.query(), parts.uri.query()) {
        (None, Some(query)) => format!("{}?{query}", url.path()),
        (Some(query), _) => format!("{}?{query}", url.path()),
        (None, None) => url.path().to_owned(),
    };
    parts.uri = Uri::from(path.parse::<PathAndQuery>()?);
    parts.headers.insert(header::HOST, authority.parse()?);
    // The runtime knows no tokens of the cluster.
    parts.headers.remove(header::AUTHORIZATION);
    Ok(Request::from_parts(parts, body))
}

async fn copy(client: OnUpgrade, runtime: OnUpgrade) {
    let both = tokio::try_join!(client, runtime);
    let (client, runtime) = match both {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(error = error_chain(&error), "stream not upgraded");
            return;
        }
    };
    let copied = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(runtime)).await;
    if let Err(error) = copied {
        tracing::debug!(%error, "stream ended");
    }
}
