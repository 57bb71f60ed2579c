//! Where an image is fetched from: its registry's mirrors, then the registry itself.
//!
//! `registries.json` in the store's folder, if there is one, says more than the name does:
//! `{"mirrors": {"docker.io": ["https://mirror.example"]}, "plainHttp": ["registry.lan:5000"],
//! "authorities": {"own.lan": "own-ca.pem"}}`. An authority's file lies beside it, or is named by its whole path.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use oci_client::Reference as Remote;
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use serde::Deserialize;

use super::layout::{Layout, LayoutError};
use super::reference::Reference;

const FILE: &str = "registries.json";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Registries {
    /// By registry: addresses to try first, without credentials.
    mirrors: BTreeMap<String, Vec<String>>,
    /// Registries and mirrors that do not speak TLS.
    plain_http: Vec<String>,
    /// By registry or mirror: a file of certificates, in PEM, that are trusted beside the machine's own.
    authorities: BTreeMap<String, PathBuf>,
}

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub host: String,
    pub plain_http: bool,
    /// Credentials are the registry's own and go to no mirror.
    pub is_mirror: bool,
    /// A file of certificates to trust beside the machine's own.
    pub authority: Option<PathBuf>,
}

impl Registries {
    pub fn read(layout: &Layout) -> Result<Self, LayoutError> {
        let path = layout.root.join(FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(LayoutError::File { step: "read", path, source }),
            Ok(bytes) => {
                let mut read: Self = serde_json::from_slice(&bytes)
                    .map_err(|source| LayoutError::Registries { path, source })?;
                read.authorities.values_mut().for_each(|file| *file = layout.root.join(&*file));
                Ok(read)
            }
        }
    }

    /// Whom to ask for images of this registry, in this order.
    pub fn endpoints(&self, registry: &str) -> Vec<Endpoint> {
        let mirrors = self.mirrors.get(registry).into_iter().flatten();
        let mut endpoints: Vec<Endpoint> =
            mirrors.map(|address| Endpoint { is_mirror: true, ..self.endpoint(address) }).collect();
        endpoints.push(self.endpoint(registry));
        endpoints
    }

    fn endpoint(&self, address: &str) -> Endpoint {
        let (plain, secure) = (address.strip_prefix("http://"), address.strip_prefix("https://"));
        let host = plain.or(secure).unwrap_or(address).trim_end_matches('/').to_owned();
        let authority = self.authorities.get(&host).cloned();
        let plain_http = plain.is_some()
            || (secure.is_none()
                && authority.is_none()
                && (is_local(&host) || self.plain_http.contains(&host)));
        Endpoint { host, plain_http, is_mirror: false, authority }
    }
}

/// A registry on this machine speaks plain HTTP, as Docker has it.
fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// Why a registry cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("this machine has no CA certificates: install the package ca-certificates")]
    NoCertificates,
    #[error("cannot read the registry's authority {path:?}")]
    Authority { path: PathBuf, source: io::Error },
    #[error("the registry's authority is not understood")]
    Build(#[source] oci_client::errors::OciDistributionError),
}

impl Endpoint {
    pub fn client(&self) -> Result<Client, ClientError> {
        // Without a provider chosen here, TLS would find none; one that is chosen already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let own = self.authority()?;
        let mut config = ClientConfig {
            protocol: self.protocol(),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("dromon/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        // Without any certificate the client would panic.
        match (rustls_native_certs::load_native_certs().certs.is_empty(), own.is_empty()) {
            (true, true) => return Err(ClientError::NoCertificates),
            (true, false) => config.tls_certs_only = own,
            (false, _) => config.extra_root_certificates = own,
        }
        Client::try_from(config).map_err(ClientError::Build)
    }

    fn protocol(&self) -> ClientProtocol {
        if self.plain_http {
            ClientProtocol::HttpsExcept(vec![self.host.clone()])
        } else {
            ClientProtocol::Https
        }
    }

    fn authority(&self) -> Result<Vec<Certificate>, ClientError> {
        let Some(path) = &self.authority else { return Ok(Vec::new()) };
        let data = fs::read(path).map_err(|source| ClientError::Authority { path: path.clone(), source })?;
        Ok(vec![Certificate { encoding: CertificateEncoding::Pem, data }])
    }

    /// The image as this endpoint knows it.
    pub fn remote(&self, reference: &Reference) -> Remote {
        let (host, repository) = (self.host.clone(), reference.repository.clone());
        match (&reference.digest, &reference.tag) {
            (Some(digest), _) => Remote::with_digest(host, repository, digest.clone()),
            (None, tag) => Remote::with_tag(host, repository, tag.clone().unwrap_or_else(|| "latest".into())),
        }
    }
}

const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// Between two pieces of an answer, not for the whole of it.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_first_and_tls_is_the_rule() {
        let registries: Registries = serde_json::from_str(
            r#"{"mirrors": {"docker.io": ["http://mirror.lan:5000/", "two.example"]}, "plainHttp": ["old.lan"]}"#,
        )
        .expect("a file");
        let asked = |registry: &str| {
            let endpoints = registries.endpoints(registry).into_iter();
            endpoints.map(|e| (e.host, e.plain_http, e.is_mirror)).collect::<Vec<_>>()
        };
        assert_eq!(
            asked("docker.io"),
            [
                ("mirror.lan:5000".to_owned(), true, true),
                ("two.example".to_owned(), false, true),
                ("docker.io".to_owned(), false, false),
            ]
        );
        assert_eq!(asked("old.lan"), [("old.lan".to_owned(), true, false)]);
        assert_eq!(asked("localhost:5000"), [("localhost:5000".to_owned(), true, false)]);
        assert_eq!(asked("quay.io"), [("quay.io".to_owned(), false, false)]);
    }
}
