//! The server's side of TLS, and what a client's certificate says.
//!
//! A client certificate is asked for, never demanded, and a wrong one does not end the handshake: the client is to
//! read a 401 and not a TLS alert. Upstream: k8s.io/apiserver/pkg/server, `SecureServingInfo` (RequestClientCert).

use std::sync::Arc;

use jiff::Timestamp;
use pki::Credential;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, ServerConnection, SignatureScheme,
};
use sha2::{Digest, Sha256};
use stdx::Clock;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the {what} as PEM")]
    Pem { what: &'static str, source: rustls::pki_types::pem::Error },
    #[error("cannot use the certificate and key")]
    Credential { source: rustls::Error },
    #[error("cannot use the client authority")]
    ClientAuthority { source: rustls::server::VerifierBuilderError },
    #[error("cannot trust the authority's certificate")]
    Root { source: rustls::Error },
}

/// The certificate that a client showed. Travels as a request extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub not_after: Timestamp,
    /// SHA-256 over the DER, in hexadecimal.
    pub fingerprint: String,
    /// Why it proves nothing, when it does not come from the client authority or is outside its time.
    pub refused: Option<String>,
}

/// What every connection is accepted with.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    clock: Clock,
}

impl Tls {
    /// Serves as `credential`; clients prove themselves with certificates of `client_ca` (PEM).
    ///
    /// # Errors
    /// When the PEM is malformed or key and certificate do not belong together.
    pub fn new(credential: &Credential, client_ca: &str, clock: Clock) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca)?), provider.clone())
                .build()
                .map_err(|source| TlsError::ClientAuthority { source })?;
        let lenient = Arc::new(Lenient { strict: verifier.clone(), provider: provider.clone() });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::Credential { source })?
            .with_client_cert_verifier(lenient)
            .with_single_cert(certificates(&credential.certificate)?, private_key(&credential.key)?)
            .map_err(|source| TlsError::Credential { source })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), verifier, clock })
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// What the client of this connection showed, if anything. Verified here, once a connection.
    pub fn peer(&self, connection: &ServerConnection) -> Option<PeerCertificate> {
        let (leaf, intermediates) = connection.peer_certificates()?.split_first()?;
        let since_epoch =
            std::time::Duration::from_secs(self.clock.now().as_second().try_into().unwrap_or(0));
        let now = UnixTime::since_unix_epoch(since_epoch);
        let refused =
            self.verifier.verify_client_cert(leaf, intermediates, now).err().map(|error| error.to_string());
        Some(PeerCertificate::read(leaf, refused))
    }
}

impl PeerCertificate {
    fn read(der: &CertificateDer<'_>, refused: Option<String>) -> Self {
        let fingerprint = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut peer = Self {
            common_name: String::new(),
            organizations: Vec::new(),
            not_after: Timestamp::MIN,
            fingerprint,
            refused,
        };
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => peer.fill(&certificate),
            Err(error) => peer.refused = Some(error.to_string()),
        }
        peer
    }

    fn fill(&mut self, certificate: &X509Certificate<'_>) {
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().map(str::to_owned).ok() // a name that is no text names nobody
        };
        self.common_name = certificate.subject().iter_common_name().find_map(text).unwrap_or_default();
        self.organizations = certificate.subject().iter_organization().filter_map(text).collect();
        let not_after = certificate.validity().not_after.timestamp();
        self.not_after = Timestamp::from_second(not_after).unwrap_or(Timestamp::MAX); // past year 9999 is for ever
    }
}

/// The certificates of a PEM text.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.map_err(|source| TlsError::Pem { what: "certificate", source })
}

pub(crate) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|source| TlsError::Pem { what: "private key", source })
}

pub(crate) fn roots(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|source| TlsError::Root { source })?;
    }
    Ok(roots)
}

/// Lets every certificate through the handshake, as long as the client holds its key.
#[derive(Debug)]
struct Lenient {
    strict: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
