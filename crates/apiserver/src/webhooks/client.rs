//! One question to a webhook: HTTPS, JSON both ways.
//!
//! Upstream: k8s.io/apiserver/pkg/util/webhook/client.go.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use stdx::{Clock, Tasks};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::auth::{Objects, fields};
use crate::tls::roots;

/// Longest answer that is read; upstream's bound of objects.
const LONGEST_ANSWER: usize = 3 * 1024 * 1024;

/// Why a webhook gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the webhook's address is not usable: {reason}")]
    Address { reason: String },
    #[error("service {name:?} not found")]
    Service { name: String },
    #[error("the webhook's caBundle cannot be read: {reason}")]
    Authority { reason: String },
    #[error("Post {url:?}: dial tcp {authority}: {reason}")]
    Dial { url: String, authority: String, reason: String },
    #[error("Post {url:?}: tls: {reason}")]
    Tls { url: String, reason: String },
    #[error("Post {url:?}: context deadline exceeded")]
    Timeout { url: String },
    #[error("Post {url:?}: {reason}")]
    Http { url: String, reason: String },
    #[error("the server answered {status}: {body}")]
    Status { status: u16, body: String },
    #[error("the answer is no JSON: {reason}")]
    Answer { reason: String },
}

/// Asks webhooks.
pub struct Client {
    objects: Arc<dyn Objects>,
    clock: Clock,
    tasks: Tasks,
}

/// Where a webhook is: what its certificate is for, what is dialed, what is asked.
struct Target {
    name: String,
    /// Host and port to connect to.
    dial: (String, u16),
    url: Uri,
}

impl Client {
    pub fn new(objects: Arc<dyn Objects>, clock: Clock, tasks: Tasks) -> Self {
        Self { objects, clock, tasks }
    }

    /// Posts `question` to the webhook that `config` (a WebhookClientConfig) describes.
    ///
    /// # Errors
    /// When there is no answer in time, or it is no JSON.
    pub async fn ask(&self, config: &Value, question: &Value, timeout: Duration) -> Result<Value, CallError> {
        let target = self.target(config, timeout).await?;
        let authorities = authorities(config)?;
        let url = target.url.to_string();
        tokio::select! {
            answer = self.post(&target, authorities, question) => answer,
            () = self.clock.sleep(timeout) => Err(CallError::Timeout { url }),
        }
    }

    async fn target(&self, config: &Value, timeout: Duration) -> Result<Target, CallError> {
        let unusable = |reason: String| CallError::Address { reason };
        let service = &config["service"];
        let (url, dial) = if service.is_object() {
            let (namespace, name) = (fields::text(service, "/namespace"), fields::text(service, "/name"));
            let port = service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
            let path = fields::text(service, "/path").trim_start_matches('/');
            let address = self.address(namespace, name).await?;
            (format!("https://{name}.{namespace}.svc:{port}/{path}"), Some((address, port)))
        } else {
            (fields::text(config, "/url").to_owned(), None)
        };
        let joint = if url.contains('?') { '&' } else { '?' };
        let url: Uri = format!("{url}{joint}timeout={}s", timeout.as_secs())
            .parse()
            .map_err(|error: http::uri::InvalidUri| unusable(error.to_string()))?;
        let host = url.host().unwrap_or("").trim_matches(['[', ']']).to_owned();
        if host.is_empty() || url.scheme_str() != Some("https") {
            return Err(unusable(format!("{url} is no https address")));
        }
        let dial = dial.unwrap_or_else(|| (host.clone(), url.port_u16().unwrap_or(443)));
        Ok(Target { name: host, dial, url })
    }

    /// The cluster's address of a service; what it is an alias for where it has none.
    async fn address(&self, namespace: &str, name: &str) -> Result<String, CallError> {
        let found = self.objects.get("", "services", namespace, name).await;
        let Some(service) = found else { return Err(CallError::Service { name: name.into() }) };
        let (ip, alias) =
            (fields::text(&service, "/spec/clusterIP"), fields::text(&service, "/spec/externalName"));
        match ip {
            "" | "None" if alias.is_empty() => {
                Err(CallError::Address { reason: format!("service {name:?} has no cluster address") })
            }
            "" | "None" => Ok(alias.to_owned()),
            ip => Ok(ip.to_owned()),
        }
    }

    async fn post(
        &self,
        target: &Target,
        authorities: RootCertStore,
        question: &Value,
    ) -> Result<Value, CallError> {
        let url = || target.url.to_string();
        let (host, port) = &target.dial;
        let dial_failed = |error: io::Error| CallError::Dial {
            url: url(),
            authority: format!("{host}:{port}"),
            reason: dial_reason(&error),
        };
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(dial_failed)?;
        let name = ServerName::try_from(target.name.clone())
            .map_err(|error| CallError::Tls { url: url(), reason: error.to_string() })?;
        let tls_failed = |reason: String| CallError::Tls { url: url(), reason };
        let connector = TlsConnector::from(Arc::new(config_of(authorities).map_err(tls_failed)?));
        let stream =
            connector.connect(name, stream).await.map_err(|error| tls_failed(stdx::error_chain(&error)))?;
        let failed = |error: hyper::Error| CallError::Http { url: url(), reason: stdx::error_chain(&error) };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        self.tasks.spawn("webhook connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "webhook connection ended");
            }
        });
        let response = sender.send_request(request(target, question)).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
        let body =
            body.map_err(|error| CallError::Http { url: url(), reason: error.to_string() })?.to_bytes();
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(CallError::Status { status: status.as_u16(), body });
        }
        serde_json::from_slice(&body).map_err(|error| CallError::Answer { reason: error.to_string() })
    }
}

fn request(target: &Target, question: &Value) -> Request<Full<Bytes>> {
    let path = target.url.path_and_query().map_or("/", |path| path.as_str());
    let authority = target.url.authority().map_or("", |authority| authority.as_str());
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, "kube-apiserver-admission")
        .body(Full::new(Bytes::from(question.to_string())))
        .expect("made of parts that were read as an address")
}

fn authorities(config: &Value) -> Result<RootCertStore, CallError> {
    let unreadable = |reason: String| CallError::Authority { reason };
    let bundle = fields::text(config, "/caBundle");
    if bundle.is_empty() {
        return system_authorities();
    }
    let pem = STANDARD.decode(bundle).map_err(|error| unreadable(error.to_string()))?;
    let pem = String::from_utf8(pem).map_err(|error| unreadable(error.to_string()))?;
    roots(&pem).map_err(|error| unreadable(stdx::error_chain(&error)))
}

/// Without a bundle, whom this machine trusts.
fn system_authorities() -> Result<RootCertStore, CallError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(store)
}

fn config_of(authorities: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(authorities).with_no_client_auth())
}

/// People know Go's words for these.
fn dial_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}
