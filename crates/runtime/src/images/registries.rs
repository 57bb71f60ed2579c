//! Where an image is fetched from: its registry's mirrors, then the registry itself.
//!
//! `registries.json` in the store's folder, if there is one, says more than the name does:
//! `{"mirrors": {"docker.io": ["https://mirror.example"]}, "plainHttp": ["registry.lan:5000"]}`.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use oci_client::Reference as Remote;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
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
}

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub host: String,
    pub plain_http: bool,
    /// Credentials are the registry's own and go to no mirror.
    pub is_mirror: bool,
}

impl Registries {
    pub fn read(layout: &Layout) -> Result<Self, LayoutError> {
        let path = layout.root.join(FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(LayoutError::File { step: "read", path, source }),
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| LayoutError::Registries { path, source })
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
        let (plain_http, host) = match (address.strip_prefix("http://"), address.strip_prefix("https://")) {
            (Some(host), _) => (true, host),
            (_, Some(host)) => (false, host),
            _ => (is_local(address) || self.plain_http.iter().any(|plain| plain == address), address),
        };
        Endpoint { host: host.trim_end_matches('/').to_owned(), plain_http, is_mirror: false }
    }
}

/// A registry on this machine speaks plain HTTP, as Docker has it.
fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

/// This machine trusts no certificate at all, so that no registry can be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("this machine has no CA certificates: install the package ca-certificates")]
pub struct NoCertificates;

impl Endpoint {
    pub fn client(&self) -> Result<Client, NoCertificates> {
        // Without a provider chosen here, TLS would find none; one that is chosen already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The client would panic.
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            return Err(NoCertificates);
        }
        let protocol = if self.plain_http {
            ClientProtocol::HttpsExcept(vec![self.host.clone()])
        } else {
            ClientProtocol::Https
        };
        Ok(Client::new(ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("dromon/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        }))
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
