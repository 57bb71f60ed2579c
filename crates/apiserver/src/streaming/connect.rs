//! One connection to where a request is passed on to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pki::Credential;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use stdx::Clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::{Endpoint, Scheme};
use crate::tls::{TlsError, certificates, private_key, roots};

/// Upstream: the dialer's time-out of the kubelet client and of proxies.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the other end cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("dial tcp {authority}")]
    Dial { authority: String, source: io::Error },
    #[error("dial tcp {authority}: i/o timeout")]
    Timeout { authority: String },
    #[error("tls: {authority}")]
    Tls { authority: String, source: io::Error },
    #[error("{host:?} is no name that a certificate can bear")]
    Name { host: String },
    #[error("the request to {authority} failed")]
    Http { authority: String, source: hyper::Error },
}

impl ConnectError {
    /// What the client reads: people know Go's words for the common failures.
    pub fn text(&self) -> String {
        use std::error::Error;
        let reason = match self {
            Self::Dial { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
                io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
                _ => source.to_string(),
            },
            _ => self.source().map(stdx::error_chain).unwrap_or_default(),
        };
        match reason.is_empty() {
            true => self.to_string(),
            false => format!("{self}: {reason}"),
        }
    }
}

/// Both kinds of stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Clone)]
pub(super) struct Connector {
    kubelet: Arc<ClientConfig>,
    anyone: Arc<ClientConfig>,
    clock: Clock,
}

impl Connector {
    pub fn new(client: &Credential, kubelet_ca: &str, clock: Clock) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(|source| TlsError::Credential { source })
        };
        let kubelet = builder()?
            .with_root_certificates(roots(kubelet_ca)?)
            .with_client_auth_cert(certificates(&client.certificate)?, private_key(&client.key)?)
            .map_err(|source| TlsError::Credential { source })?;
        let anyone = builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider.clone())))
            .with_no_client_auth();
        Ok(Self { kubelet: Arc::new(kubelet), anyone: Arc::new(anyone), clock })
    }

    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Box<dyn Stream>, ConnectError> {
        tokio::select! {
            stream = self.dial(endpoint) => stream,
            () = self.clock.sleep(DIAL_TIMEOUT) => Err(ConnectError::Timeout { authority: endpoint.authority() }),
        }
    }

    async fn dial(&self, endpoint: &Endpoint) -> Result<Box<dyn Stream>, ConnectError> {
        let failed = |source| ConnectError::Dial { authority: endpoint.authority(), source };
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let config = match endpoint.scheme {
            Scheme::Http => return Ok(Box::new(stream)),
            Scheme::Https => &self.anyone,
            Scheme::Kubelet => &self.kubelet,
        };
        let name = ServerName::try_from(endpoint.host.clone())
            .map_err(|_| ConnectError::Name { host: endpoint.host.clone() })?;
        let connected = TlsConnector::from(config.clone()).connect(name, stream).await;
        let stream =
            connected.map_err(|source| ConnectError::Tls { authority: endpoint.authority(), source })?;
        Ok(Box::new(stream))
    }
}

/// Accepts every certificate, as upstream's proxy transport does: the client, not the cluster, chose that pod.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
