//! The listening socket and TLS.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use stdx::error_chain;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{auth, routes};
use crate::config::{Config, Tls};
use crate::context::Context;
use crate::pod_manager::Workers;

/// Why the HTTPS server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot read {path:?} as PEM")]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("cannot use the serving certificate")]
    Certificate { source: rustls::Error },
    #[error("cannot use the client authority")]
    Authority { source: rustls::server::VerifierBuilderError },
}

pub(crate) struct Listener {
    socket: TcpListener,
    tls: TlsAcceptor,
}

impl Listener {
    pub async fn bind(config: &Config) -> Result<Self, ServeError> {
        let tls = TlsAcceptor::from(Arc::new(tls(&config.tls)?));
        let address = config.bind;
        let socket =
            TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { socket, tls })
    }
}

fn tls(files: &Tls) -> Result<ServerConfig, ServeError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.client_ca)? {
        roots.add(certificate).map_err(|source| ServeError::Certificate { source })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|source| ServeError::Authority { source })?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|source| ServeError::Pem { path: files.key.clone(), source })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| ServeError::Certificate { source })?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&files.certificate)?, key)
        .map_err(|source| ServeError::Certificate { source })?;
    // Upgrades to SPDY and WebSocket are HTTP/1.1's.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| ServeError::Pem { path: path.clone(), source })
}

/// Serves until shutdown.
pub(crate) async fn serve(
    listener: Listener,
    context: Arc<Context>,
    workers: Workers,
) -> Result<(), ServeError> {
    loop {
        let accepted = tokio::select! {
            () = context.shutdown.wait() => return Ok(()),
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (tls, context, workers) = (listener.tls.clone(), context.clone(), workers.clone());
                let shutdown = context.shutdown.clone();
                let tasks = context.tasks.clone();
                tasks.spawn("kubelet connection", async move {
                    tokio::select! {
                        () = shutdown.wait() => {}
                        () = connection(stream, tls, context, workers) => {}
                    }
                });
            }
            // Out of descriptors, or a client that left at once: those already served go on.
            Err(error) => tracing::warn!(%error, "connection not accepted"),
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, context: Arc<Context>, workers: Workers) {
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
    };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = certificate.and_then(auth::identity);
    let service = service_fn(move |request| {
        let (context, workers, peer) = (context.clone(), workers.clone(), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(routes::serve(context, workers, peer, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(error = error_chain(&error), "connection ended");
    }
}
