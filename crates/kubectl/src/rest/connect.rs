//! Streams to the server: plain, TLS, or through a proxy.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tls;
use crate::config::Access;
use crate::error::{Error, Result};

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where the server is.
pub struct Host {
    name: String,
    port: u16,
    /// Of an https server.
    name_to_verify: Option<ServerName<'static>>,
    access: Access,
    tls: OnceLock<Arc<ClientConfig>>,
    proxy: Option<http::Uri>,
}

impl Host {
    /// # Errors
    /// The address has no host, or another scheme than http and https.
    pub fn of(uri: &http::Uri, access: &Access) -> Result<Self> {
        let wrong = |text: &str| Error::said(format!("{text}: {:?}", access.server));
        let name = uri.host().ok_or_else(|| wrong("the server's address has no host"))?;
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") | None => false,
            Some(_) => return Err(wrong("unsupported scheme of the server's address")),
        };
        let verified = if access.tls_server_name.is_empty() { &name } else { &access.tls_server_name };
        let name_to_verify = match is_tls {
            true => {
                Some(ServerName::try_from(verified.clone()).map_err(|_| wrong("no name for a certificate"))?)
            }
            false => None,
        };
        let proxy = match access.proxy.as_str() {
            "" => environment_proxy(&name, is_tls),
            proxy => Some(proxy.to_owned()),
        };
        let proxy = match proxy {
            Some(text) => Some(text.parse().map_err(|_| Error::said(format!("invalid proxy URL {text:?}")))?),
            None => None,
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { name, port, name_to_verify, access: access.clone(), tls: OnceLock::new(), proxy })
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    /// # Errors
    /// Nobody listens, or TLS is not agreed upon.
    pub async fn connect(&self) -> Result<Box<dyn Stream>> {
        let stream = match &self.proxy {
            Some(proxy) => self.through(proxy).await?,
            None => self.dial(&self.name, self.port).await?,
        };
        let Some(name) = &self.name_to_verify else { return Ok(Box::new(stream)) };
        let config = match self.tls.get() {
            Some(config) => config.clone(),
            None => {
                let config = Arc::new(tls::client_config(&self.access)?);
                self.tls.get_or_init(|| config).clone()
            }
        };
        let connected = TlsConnector::from(config).connect(name.clone(), stream).await;
        Ok(Box::new(connected.map_err(|error| Error::Unreachable(tls::told(&error)))?))
    }

    async fn dial(&self, name: &str, port: u16) -> Result<TcpStream> {
        let stream = TcpStream::connect((name, port)).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Error::Refused(self.authority()),
            _ if error.to_string().contains("lookup") => {
                Error::Unreachable(format!("dial tcp: lookup {name}: no such host"))
            }
            _ => {
                Error::Unreachable(format!("dial tcp {}: {}", self.authority(), crate::files::reason(&error)))
            }
        })?;
        // Without it, requests are only slower.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// A tunnel by CONNECT.
    async fn through(&self, proxy: &http::Uri) -> Result<TcpStream> {
        let failed = |text: String| Error::Unreachable(format!("proxyconnect tcp: {text}"));
        let host = proxy.host().ok_or_else(|| failed("the proxy's URL has no host".into()))?;
        let mut stream = self.dial(host, proxy.port_u16().unwrap_or(80)).await?;
        let target = self.authority();
        let user = proxy.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
        let login = user.map(|(user, _)| format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(user)));
        let ask = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}\r\n", login.unwrap_or_default());
        stream.write_all(ask.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.map_err(|error| failed(error.to_string()))?);
        }
        let answer = String::from_utf8_lossy(&answer);
        match answer.split(' ').nth(1) {
            Some(code) if code.starts_with('2') => Ok(stream),
            _ => Err(failed(answer.lines().next().unwrap_or("").to_owned())),
        }
    }
}

/// `HTTPS_PROXY` and its kin, where `NO_PROXY` does not exempt the host.
fn environment_proxy(host: &str, is_tls: bool) -> Option<String> {
    let variable = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase()));
        value.ok().filter(|value| !value.is_empty())
    };
    let proxy = variable(if is_tls { "HTTPS_PROXY" } else { "HTTP_PROXY" })?;
    let is_local =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let exempt = variable("NO_PROXY").unwrap_or_default();
    let mut rules = exempt.split(',').map(str::trim).filter(|rule| !rule.is_empty());
    let is_exempt = rules.any(|rule| {
        rule == "*" || host == rule || host.ends_with(&format!(".{}", rule.trim_start_matches('.')))
    });
    (!is_local && !is_exempt).then_some(proxy)
}
