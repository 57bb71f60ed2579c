//! A registry in this process, on loopback, that misbehaves when told so.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use stdx::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::digest;
use super::Built;

/// A certificate's life: longer than any test's.
const LIFETIME: Duration = Duration::from_secs(86_400);

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// How it answers.
#[derive(Default)]
pub struct Behavior {
    /// Answers 503 so many times.
    pub unavailable: usize,
    /// Breaks the connection in the middle of so many blobs.
    pub broken: usize,
    /// Ignores ranges.
    pub no_ranges: bool,
    /// Wants a token, and gives one to everybody (`None`) or to this user and password.
    pub token: Option<Option<(&'static str, &'static str)>>,
    /// Wants basic authentication.
    pub basic: Option<(&'static str, &'static str)>,
    /// Gives these bytes for every layer.
    pub wrong: Option<Vec<u8>>,
}

pub struct Registry {
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: Tasks,
}

#[derive(Default)]
struct State {
    address: Mutex<Option<SocketAddr>>,
    behavior: Mutex<Behavior>,
    manifests: Mutex<HashMap<String, (String, Vec<u8>)>>,
    blobs: Mutex<HashMap<String, Vec<u8>>>,
    asked: Mutex<Vec<String>>,
}

impl Registry {
    pub async fn start(behavior: Behavior) -> Self {
        Self::listen(behavior, None).await
    }

    /// One that speaks TLS, and the certificate of its authority.
    pub async fn start_tls(behavior: Behavior) -> (Self, String) {
        let now = stdx::Clock::system().now();
        let authority = pki::Authority::create("registry-ca", now).expect("an authority");
        let addresses = vec![std::net::Ipv4Addr::LOCALHOST.into()];
        let profile = pki::Profile {
            common_name: "registry".into(),
            organizations: Vec::new(),
            dns_names: Vec::new(),
            addresses,
            purpose: pki::Purpose::Server,
            lifetime: LIFETIME,
        };
        let own = authority.issue(&profile, now).expect("a certificate");
        (Self::listen(behavior, Some(acceptor(&own))).await, authority.certificate().to_owned())
    }

    async fn listen(behavior: Behavior, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State { behavior: Mutex::new(behavior), ..State::default() });
        *state.address.lock() = Some(address);
        let tasks = Tasks::new();
        let (served, spawn) = (state.clone(), tasks.clone());
        tasks.spawn("registry", async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (state, tls) = (served.clone(), tls.clone());
                spawn.spawn("registry connection", async move {
                    let Some(tls) = tls else { return serve(socket, state).await };
                    // Who does not trust the certificate hangs up.
                    if let Ok(socket) = tls.accept(socket).await {
                        serve(socket, state).await;
                    }
                });
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// The name of an image here.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub fn add(&self, tag: &str, image: &Built) {
        self.add_manifest(tag, super::MANIFEST, &image.manifest);
        let mut blobs = self.state.blobs.lock();
        blobs.extend(image.layers.iter().chain([&image.config]).map(|b| (digest::of(b), b.clone())));
    }

    pub fn add_manifest(&self, tag: &str, media: &str, bytes: &[u8]) {
        let mut manifests = self.state.manifests.lock();
        for name in [tag.to_owned(), digest::of(bytes)] {
            manifests.insert(name, (media.to_owned(), bytes.to_vec()));
        }
    }

    /// Requests for blobs, in order: the digest's beginning and the range.
    pub fn blobs_asked(&self) -> Vec<String> {
        self.state.asked.lock().clone()
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(move |request| {
        let answer = state.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    // A connection that breaks is what some tests want.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

fn acceptor(credential: &pki::Credential) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = CertificateDer::from_pem_slice(credential.certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(credential.key.as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate and its key")))
}

fn full(status: StatusCode, media: &str, bytes: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync();
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, media).body(body);
    response.expect("valid")
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let body = format!(r#"{{"errors": [{{"code": "{code}", "message": "no"}}]}}"#);
    full(status, "application/json", body)
}

fn basic((user, password): (&str, &str)) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

impl State {
    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let mut behavior = self.behavior.lock();
        let path = request.uri().path();
        let authorization = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if path == "/token" {
            let wanted = behavior.token.flatten().map(basic);
            return if wanted.is_none() || wanted.as_deref() == authorization {
                full(StatusCode::OK, "application/json", r#"{"token": "pass"}"#)
            } else {
                error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED")
            };
        }
        if let Some(challenge) = self.challenge(&behavior, authorization) {
            let mut refusal = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
            refusal.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().expect("valid"));
            return refusal;
        }
        if path == "/v2/" {
            return full(StatusCode::OK, "application/json", "{}");
        }
        if behavior.unavailable > 0 {
            behavior.unavailable -= 1;
            return full(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "later");
        }
        let (rest, what) = path.rsplit_once('/').unwrap_or_default();
        if rest.ends_with("/manifests") {
            let manifests = self.manifests.lock();
            return match manifests.get(what) {
                Some((media, bytes)) => full(StatusCode::OK, media, bytes.clone()),
                None => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            };
        }
        let range = request.headers().get(header::RANGE).and_then(|v| v.to_str().ok());
        self.blob(&mut behavior, what, range)
    }

    fn challenge(&self, behavior: &Behavior, authorization: Option<&str>) -> Option<String> {
        let address = self.address.lock().expect("started");
        if behavior.token.is_some() && authorization != Some("Bearer pass") {
            return Some(format!(r#"Bearer realm="http://{address}/token",service="here""#));
        }
        let wanted = basic(behavior.basic?);
        (authorization != Some(&wanted)).then(|| r#"Basic realm="here""#.to_owned())
    }

    fn blob(&self, behavior: &mut Behavior, digest: &str, range: Option<&str>) -> Response<Body> {
        let Some(bytes) = self.blobs.lock().get(digest).cloned() else {
            return error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
        };
        // Only layers are packed; the configuration is JSON.
        let is_layer = bytes[0] != b'{';
        if is_layer {
            self.asked.lock().push(format!("{} {}", &digest[7..13], range.unwrap_or("whole")));
        }
        let bytes = behavior.wrong.clone().filter(|_| is_layer).unwrap_or(bytes);
        let start = range
            .filter(|_| !behavior.no_ranges)
            .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
        let status = if start.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let bytes = bytes[start.unwrap_or(0)..].to_vec();
        if is_layer && behavior.broken > 0 {
            behavior.broken -= 1;
            return broken(status, &bytes);
        }
        full(status, "application/octet-stream", bytes)
    }
}

/// Half of the bytes, then the end of the connection.
fn broken(status: StatusCode, bytes: &[u8]) -> Response<Body> {
    let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    let end = stream::once(async {
        // The server sends what it has while its body has nothing more.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("broken on purpose"))
    });
    let body = StreamBody::new(stream::iter([Ok(Frame::data(half))]).chain(end)).boxed_unsync();
    let response = Response::builder().status(status).header(header::CONTENT_LENGTH, bytes.len());
    response.body(body).expect("valid")
}
