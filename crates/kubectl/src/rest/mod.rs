//! Requests to one API server: a connection that is kept, credentials, statuses, warnings.
//!
//! Never names a resource. Reading order: [`Rest`], [`connect`], [`tls`], [`status`], [`socket`].

mod connect;
mod socket;
mod status;
mod tls;

use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use stdx::Tasks;

use crate::config::Access;
use crate::error::{Error, Result};

use connect::Host;
pub use socket::{Channels, Socket};
pub use status::Status;

/// How often a request is tried that the server puts off.
const MOST_TRIES: usize = 10;

pub struct Rest {
    access: Access,
    host: Host,
    /// Path under which the server lies, without a slash at the end.
    base: String,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    tasks: Tasks,
    /// None waits without end.
    timeout: Option<Duration>,
    verbosity: i64,
    warned: Mutex<Vec<String>>,
}

/// One request: what differs from a plain GET of JSON.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub accept: &'static str,
    pub content_type: &'static str,
    pub body: Bytes,
}

pub const JSON: &str = "application/json";
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

impl Ask {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), accept: JSON, content_type: "", body: Bytes::new() }
    }

    pub fn with(method: Method, path: impl Into<String>, body: &Value) -> Self {
        Self {
            method,
            path: path.into(),
            accept: JSON,
            content_type: JSON,
            body: Bytes::from(body.to_string()),
        }
    }

    #[must_use]
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    #[must_use]
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }
}

impl Rest {
    /// # Errors
    /// The address is none; a credential plugin failed.
    pub fn new(mut access: Access, timeout: Option<Duration>, verbosity: i64) -> Result<Self> {
        if let Some(exec) = access.auth.exec.clone() {
            crate::config::exec::run(&exec, &access.server, &mut access.auth)?;
        }
        let uri: http::Uri = access
            .server
            .parse()
            .map_err(|_| Error::said(format!("parse {:?}: invalid server address", access.server)))?;
        let host = Host::of(&uri, &access)?;
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            access,
            host,
            base,
            idle: Mutex::default(),
            tasks: Tasks::new(),
            timeout,
            verbosity,
            warned: Mutex::default(),
        })
    }

    pub fn server(&self) -> &str {
        &self.access.server
    }

    /// An answer of the 200s, its body still to be read.
    ///
    /// # Errors
    /// The server is not reached, or answers a failure.
    pub async fn send(&self, ask: &Ask) -> Result<Response<Incoming>> {
        for tried in 1.. {
            let response = self.once(ask).await?;
            self.warn(&response);
            if response.status().is_success() {
                return Ok(response);
            }
            let wait = retry_after(&response).filter(|_| tried < MOST_TRIES);
            let code = response.status().as_u16();
            let body = read(response).await?;
            match wait {
                Some(seconds) if code == 429 || code >= 500 => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                _ => return Err(Error::Status(Box::new(Status::read(code, &body, ask)))),
            }
        }
        unreachable!("the last try returns")
    }

    /// # Errors
    /// As [`Rest::send`]; a body that breaks off.
    pub async fn bytes(&self, ask: &Ask) -> Result<Bytes> {
        let whole = async {
            let response = self.send(ask).await?;
            read(response).await
        };
        match self.timeout {
            None => whole.await,
            Some(limit) => tokio::time::timeout(limit, whole).await.map_err(|_| {
                Error::Unreachable(
                    "net/http: request canceled (Client.Timeout exceeded while awaiting headers)".into(),
                )
            })?,
        }
    }

    /// # Errors
    /// As [`Rest::bytes`]; an answer that is no JSON.
    pub async fn json(&self, ask: &Ask) -> Result<Value> {
        let bytes = self.bytes(ask).await?;
        if self.verbosity >= 8 {
            eprintln!("{}", String::from_utf8_lossy(&bytes));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::said(format!("couldn't read the server's answer: {error}")))
    }

    async fn once(&self, ask: &Ask) -> Result<Response<Incoming>> {
        if self.verbosity >= 6 {
            eprintln!("{} {}{}", ask.method, self.access.server, ask.path);
        }
        while let Some(mut sender) = self.idle.lock().ok().and_then(|mut idle| idle.pop()) {
            if sender.ready().await.is_err() {
                continue;
            }
            // A kept connection may have ended meanwhile: then nothing was sent.
            if let Ok(response) = sender.send_request(self.request(ask)?).await {
                self.keep(sender);
                return Ok(response);
            }
        }
        let mut sender = self.open().await?;
        let response = sender
            .send_request(self.request(ask)?)
            .await
            .map_err(|error| Error::Unreachable(stdx::error_chain(&error)))?;
        self.keep(sender);
        Ok(response)
    }

    /// The connection serves again once its answer is read: its `ready` waits for that.
    fn keep(&self, sender: SendRequest<Full<Bytes>>) {
        if let Ok(mut idle) = self.idle.lock()
            && idle.is_empty()
            && sender.is_ready()
        {
            idle.push(sender);
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = self.host.connect().await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::Unreachable(stdx::error_chain(&error)))?;
        self.tasks.spawn("connection", async move {
            // What ends the connection is told to whoever waits for an answer on it.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>> {
        let mut builder = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.base, ask.path))
            .header(header::HOST, self.host.authority())
            .header(header::USER_AGENT, concat!("kubectl/v1.36.4 (dromon/", env!("CARGO_PKG_VERSION"), ")"))
            .header(header::ACCEPT, ask.accept);
        if !ask.content_type.is_empty() {
            builder = builder.header(header::CONTENT_TYPE, ask.content_type);
        }
        for (name, value) in self.credentials() {
            builder = builder.header(name, value);
        }
        builder.body(Full::new(ask.body.clone())).map_err(|error| Error::said(error.to_string()))
    }

    /// Headers that say who asks.
    pub fn credentials(&self) -> Vec<(String, HeaderValue)> {
        let auth = &self.access.auth;
        let mut headers: Vec<(String, String)> = auth.impersonate.clone();
        if !auth.token.is_empty() {
            headers.push(("authorization".into(), format!("Bearer {}", auth.token)));
        } else if let Some((name, password)) = &auth.basic {
            headers.push((
                "authorization".into(),
                format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))),
            ));
        }
        headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value).ok()?)))
            .collect()
    }

    fn warn(&self, response: &Response<Incoming>) {
        for value in response.headers().get_all(header::WARNING) {
            let Some(text) = value.to_str().ok().and_then(status::warning_text) else { continue };
            let Ok(mut warned) = self.warned.lock() else { continue };
            if !warned.contains(&text) {
                eprintln!("Warning: {text}");
                WARNED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                warned.push(text);
            }
        }
    }
}

fn retry_after(response: &Response<Incoming>) -> Option<u64> {
    response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

async fn read(response: Response<Incoming>) -> Result<Bytes> {
    let body = response.into_body().collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Error::Unreachable(stdx::error_chain(&error)))
}

/// `--warnings-as-errors`.
///
/// # Errors
/// A server warned.
pub fn warned_error() -> Result {
    match WARNED.load(std::sync::atomic::Ordering::Relaxed) {
        0 => Ok(()),
        1 => Err(Error::said("1 warning received")),
        many => Err(Error::said(format!("{many} warnings received"))),
    }
}

/// How many warnings this process printed.
static WARNED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
