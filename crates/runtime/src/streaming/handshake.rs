//! From an HTTP request to an upgraded connection: which protocol the two sides speak.
//!
//! Upstream: kubelet pkg/kubelet/server, streaming/{remotecommand,portforward}; apimachinery util/httpstream.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::requests::Request;
use super::server::Context;
use super::{channels, forward, session, websocket};

pub(super) type Answer = Response<Full<Bytes>>;

/// Header that names the protocol of the streams inside SPDY.
const STREAM_PROTOCOL: &str = "x-stream-protocol-version";
const SPDY: &str = "SPDY/3.1";

/// Versions of exec and attach, the best first. All write an exit code as a Status; v5 can close a stream.
const COMMAND: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// SPDY as such cannot half-close by a channel of its own and need not: v5 is WebSocket's.
const COMMAND_SPDY: [&str; 1] = ["v4.channel.k8s.io"];
const FORWARD: [&str; 2] = ["SPDY/3.1+portforward.k8s.io", FORWARD_CHANNELS];
/// Without SPDY, as most clients other than kubectl have it.
const FORWARD_CHANNELS: &str = "v4.channel.k8s.io";
const FORWARD_SPDY: [&str; 1] = ["portforward.k8s.io"];

pub(super) fn answer(request: http::Request<Incoming>, context: Arc<Context>) -> Answer {
    let mut path = request.uri().path().trim_start_matches('/').splitn(2, '/');
    let token = path.nth(1).unwrap_or_default();
    match context.requests.take(token) {
        Some(granted) => upgrade(request, granted, context),
        None => refuse(StatusCode::NOT_FOUND, "the streaming URL is unknown, used or expired"),
    }
}

fn upgrade(mut request: http::Request<Incoming>, granted: Request, context: Arc<Context>) -> Answer {
    let wanted = tokens(request.headers(), "upgrade");
    let forwards = matches!(granted, Request::PortForward { .. });
    let wants = |protocol: &str| wanted.iter().any(|token| token.eq_ignore_ascii_case(protocol));
    let on_upgrade = hyper::upgrade::on(&mut request);
    if wants("websocket") {
        let known: &[&'static str] = if forwards { &FORWARD } else { &COMMAND };
        let Some(protocol) = choose(request.headers(), SEC_WEBSOCKET_PROTOCOL.as_str(), known) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                &format!("no common WebSocket protocol: ours are {known:?}"),
            );
        };
        let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()))
        else {
            return refuse(StatusCode::BAD_REQUEST, "the WebSocket key is missing");
        };
        let plain = forwards && protocol == FORWARD_CHANNELS;
        let transport = if plain { Transport::Channels } else { Transport::WebSocket };
        spawn(on_upgrade, granted, context, transport);
        return switch("websocket", SEC_WEBSOCKET_PROTOCOL.as_str(), protocol, Some(key));
    }
    if wants(SPDY) {
        let known: &[&'static str] = if forwards { &FORWARD_SPDY } else { &COMMAND_SPDY };
        let Some(protocol) = choose(request.headers(), STREAM_PROTOCOL, known) else {
            let why = format!("unable to upgrade: no common stream protocol, ours are {known:?}");
            return refuse(StatusCode::FORBIDDEN, &why);
        };
        spawn(on_upgrade, granted, context, Transport::Spdy);
        return switch(SPDY, STREAM_PROTOCOL, protocol, None);
    }
    refuse(StatusCode::BAD_REQUEST, "unable to upgrade: the request asks for no protocol known here")
}

#[derive(Clone, Copy)]
enum Transport {
    WebSocket,
    /// A WebSocket whose channels are the forwarded ports.
    Channels,
    Spdy,
}

fn spawn(on_upgrade: OnUpgrade, granted: Request, context: Arc<Context>, transport: Transport) {
    let tasks = context.tasks.clone();
    tasks.spawn("streaming-session", async move {
        let shutdown = context.shutdown.clone();
        tokio::select! {
            () = run(on_upgrade, granted, context, transport) => {}
            () = shutdown.wait() => {}
        }
    });
}

async fn run(on_upgrade: OnUpgrade, granted: Request, context: Arc<Context>, transport: Transport) {
    let connection = match on_upgrade.await {
        Ok(upgraded) => TokioIo::new(upgraded),
        Err(error) => return tracing::debug!(%error, "streaming connection was not upgraded"),
    };
    let (backend, clock) = (context.backend.clone(), context.clock.clone());
    match (granted, transport) {
        (Request::PortForward { sandbox, ports }, Transport::Channels) => {
            channels::run(websocket::accept(connection).await, ports, backend, sandbox).await;
        }
        (Request::PortForward { sandbox, .. }, Transport::WebSocket) => {
            forward::run(websocket::tunnel(connection).await, backend, sandbox, context.tasks.clone()).await;
        }
        (Request::PortForward { sandbox, .. }, Transport::Spdy) => {
            forward::run(connection, backend, sandbox, context.tasks.clone()).await;
        }
        (Request::Exec { container, command, wants }, transport) => {
            let start = async move { backend.exec(&container, &command, wants).await };
            let (client, carrier) = carry(connection, wants, transport, &context).await;
            session::run(start, client, session::Ending::ExitCode, carrier, clock).await;
        }
        (Request::Attach { container, wants }, transport) => {
            let start = async move { backend.attach(&container, wants).await };
            let (client, carrier) = carry(connection, wants, transport, &context).await;
            session::run(start, client, session::Ending::Success, carrier, clock).await;
        }
    }
}

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// The client's ends of the streams, and the future that moves them.
async fn carry(
    connection: Upgraded,
    wants: super::Wants,
    transport: Transport,
    context: &Context,
) -> (session::Client, futures::future::BoxFuture<'static, ()>) {
    let (client, wire) = session::pair();
    let carrier: futures::future::BoxFuture<'static, ()> = match transport {
        Transport::WebSocket | Transport::Channels => {
            Box::pin(websocket::carry(websocket::accept(connection).await, wire, wants))
        }
        Transport::Spdy => {
            Box::pin(super::spdy::command::carry(connection, wire, wants, context.tasks.clone()))
        }
    };
    (client, carrier)
}

/// The first of ours that the client knows too.
fn choose(headers: &HeaderMap, name: &str, known: &[&'static str]) -> Option<&'static str> {
    let offered = tokens(headers, name);
    known.iter().find(|ours| offered.iter().any(|theirs| theirs == *ours)).copied()
}

/// The comma-separated values of a header, over all of its lines.
fn tokens(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|token| token.trim().to_owned()).collect()
}

fn switch(
    upgrade: &'static str,
    header: &'static str,
    protocol: &'static str,
    key: Option<String>,
) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
    headers.insert(header, HeaderValue::from_static(protocol));
    if let Some(key) = key.and_then(|key| HeaderValue::from_str(&key).ok()) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    answer
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{why}\n"))));
    *answer.status_mut() = status;
    answer
}
