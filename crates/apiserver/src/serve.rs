//! The accept loop: TLS, then HTTP/1.1 or HTTP/2 as the client asks by ALPN, then the request path.
//!
//! Knows nothing of Kubernetes. When the server stops, it first stops accepting, then lets every connection finish
//! the requests that it has begun.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use stdx::{Backoff, Clock, Shutdown, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::tls::Tls;
use crate::{BoxError, Request, Response};

#[cfg(test)]
mod tests;

/// Upstream gives a handshake ten seconds, too.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is closed after this; upstream's `IdleTimeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// A client with one connection may watch every resource there is, several times.
const MAX_STREAMS: u32 = 1000;
/// Per stream; upstream's 256 KiB, since bodies are small and many.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Per connection: as much as a hundred full streams.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// Until every open connection is cut when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Whoever answers requests.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    async fn handle(&self, request: Request) -> Response;
}

/// The other end of the connection. Travels as a request extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Accepts until `shutdown`, then drains.
pub async fn serve(
    listener: TcpListener,
    tls: Tls,
    handler: Arc<dyn Handler>,
    clock: Clock,
    shutdown: Shutdown,
) {
    let server = Server { tls, handler, clock, tasks: Tasks::new() };
    let graceful = GracefulShutdown::new();
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_secs(1));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.wait() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                backoff.reset();
                server.spawn(stream, address, &graceful);
            }
            // Out of descriptors, or the client is gone already: the listener itself still works.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                server.clock.sleep(backoff.step()).await;
            }
        }
    }
    drop(listener);
    server.drain(graceful).await;
}

#[derive(Clone)]
struct Server {
    tls: Tls,
    handler: Arc<dyn Handler>,
    clock: Clock,
    tasks: Tasks,
}

impl Server {
    fn spawn(&self, stream: TcpStream, address: SocketAddr, graceful: &GracefulShutdown) {
        let (server, watcher) = (self.clone(), graceful.watcher());
        self.tasks.spawn("connection", async move {
            if let Err(error) = server.connection(stream, address, watcher).await {
                // A client that hangs up in the middle is its own affair.
                tracing::debug!(%address, error, "connection ended");
            }
        });
    }

    async fn connection(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
    ) -> Result<(), BoxError> {
        stream.set_nodelay(true)?;
        let handshake = TlsAcceptor::from(self.tls.config()).accept(stream);
        let stream = tokio::select! {
            stream = handshake => stream?,
            () = self.clock.sleep(HANDSHAKE_TIMEOUT) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        };
        let peer = self.tls.peer(stream.get_ref().1);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (handler, peer) = (self.handler.clone(), peer.clone());
            async move {
                let mut request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
                request.extensions_mut().insert(PeerAddress(address));
                if let Some(peer) = peer {
                    request.extensions_mut().insert(peer);
                }
                Ok::<_, Infallible>(handler.handle(request).await)
            }
        });
        let builder = builder(self.tasks.clone());
        watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service)).await
    }

    async fn drain(self, graceful: GracefulShutdown) {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = self.clock.sleep(DRAIN_TIMEOUT) => tracing::warn!("connections were cut after the drain time-out"),
        }
    }
}

fn builder(tasks: Tasks) -> Builder<Spawn> {
    let mut builder = Builder::new(Spawn(tasks));
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// hyper's tasks, run as ours.
#[derive(Clone)]
struct Spawn(Tasks);

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("http2 stream", future);
    }
}
