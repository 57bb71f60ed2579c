//! TLS towards the server: whom we trust, and the client's certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::Access;
use crate::error::{Error, Result};

/// # Errors
/// A certificate or key that cannot be read.
pub fn client_config(access: &Access) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = if access.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else if let Some(pem) = &access.authority {
        builder.with_root_certificates(roots(pem)?)
    } else {
        builder.with_platform_verifier().map_err(|error| wrong(&error))?
    };
    let (Some(certificate), Some(key)) = (&access.auth.certificate, &access.auth.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|_| Error::said("tls: failed to find any PEM data in certificate input"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| Error::said("tls: failed to find any PEM data in key input"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| wrong(&error))
}

fn wrong(error: &rustls::Error) -> Error {
    Error::said(format!("tls: {error}"))
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| {
            Error::said("unable to load root certificates: unable to parse bytes as PEM block")
        })?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(Error::said("unable to load root certificates: unable to parse bytes as PEM block"));
    }
    Ok(roots)
}

/// A failed handshake, in Go's words where the cause is common.
pub fn told(error: &std::io::Error) -> String {
    let text = error.to_string();
    if text.contains("UnknownIssuer") {
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority".into();
    }
    if text.contains("Expired") {
        return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".into();
    }
    if text.contains("NotValidForName") || text.contains("not valid for name") {
        return format!("tls: failed to verify certificate: x509: {text}");
    }
    if text.contains("InvalidContentType") {
        return "http: server gave HTTP response to HTTPS client".into();
    }
    format!("tls: {text}")
}

/// Accepts every certificate: the user asked for `--insecure-skip-tls-verify`.
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
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
