//! What a probe or hook does: a request, a connection, a command.
//!
//! Upstream: pkg/probe; messages to the letter.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{redirect, tls};
use crate::runtime::Cri;
use stdx::Clock;

/// The longest part of an answer that is looked at.
const LONGEST: usize = 10 << 10;

/// What an action came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    Good(String),
    Bad(String),
    /// It could not be tried: neither good nor bad.
    Untried(String),
}

pub(crate) async fn exec(cri: &Cri, id: &str, action: &ExecAction, timeout: Duration) -> Finding {
    let command = action.command.clone().unwrap_or_default();
    match cri.exec_sync(id, command, timeout).await {
        Ok(done) => {
            let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
            output.push_str(&String::from_utf8_lossy(&done.stderr));
            output.truncate(output.floor_char_boundary(LONGEST));
            if done.exit_code == 0 { Finding::Good(output) } else { Finding::Bad(output) }
        }
        Err(error) if error.is_timeout() => Finding::Bad(format!("command timed out: {}", error.said())),
        Err(error) => Finding::Untried(error.said()),
    }
}

pub(crate) async fn tcp(
    clock: &Clock,
    ip: &str,
    container: &Container,
    action: &TCPSocketAction,
    timeout: Duration,
) -> Finding {
    let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(ip);
    let Some(port) = port(&action.port, container) else { return no_port(&action.port) };
    match within(clock, timeout, TcpStream::connect((host, port))).await {
        Some(Ok(_)) => Finding::Good(String::new()),
        Some(Err(error)) => Finding::Bad(dial_error(host, port, &error)),
        None => Finding::Bad(format!("dial tcp {}: i/o timeout", join(host, port))),
    }
}

pub(crate) async fn http_get(
    clock: &Clock,
    ip: &str,
    container: &Container,
    action: &HTTPGetAction,
    agent: &str,
    timeout: Duration,
) -> Finding {
    let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(ip);
    let Some(port) = port(&action.port, container) else { return no_port(&action.port) };
    let secure = action.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("https"));
    let path = action.path.as_deref().unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let url = format!("{}://{}{path}", if secure { "https" } else { "http" }, join(host, port));
    let first = redirect::Target { secure, host: host.to_owned(), port, path };
    match within(clock, timeout, follow(action, first, agent)).await {
        None => Finding::Bad(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
        Some(Err(why)) => Finding::Bad(format!("Get {url:?}: {why}")),
        Some(Ok(answer)) if !(200..400).contains(&answer.status) => {
            Finding::Bad(format!("HTTP probe failed with statuscode: {}", answer.status))
        }
        Some(Ok(answer)) => Finding::Good(answer.body),
    }
}

/// Where the last answer came from is all that counts; a redirect to another host is an answer too.
async fn follow(action: &HTTPGetAction, first: redirect::Target, agent: &str) -> Result<Answer, String> {
    let mut target = first.clone();
    for _ in 0..redirect::MOST {
        let request = build(action, &target, agent).map_err(|error| error.to_string())?;
        let answer = fetch(&target, request).await?;
        match redirect::next(&target, &answer).filter(|next| next.host == first.host) {
            Some(next) => target = next,
            None => return Ok(answer),
        }
    }
    Err(format!("stopped after {} redirects", redirect::MOST))
}

/// What a server said.
pub(super) struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub body: String,
}

fn build(
    action: &HTTPGetAction,
    target: &redirect::Target,
    agent: &str,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::builder().method(Method::GET).uri(target.path.as_str());
    let given = |name: &str| {
        action
            .http_headers
            .iter()
            .flatten()
            .find(|h| h.name.eq_ignore_ascii_case(name))
            .map(|h| h.value.clone())
    };
    let host_header = given("host").unwrap_or_else(|| join(&target.host, target.port));
    request = request.header(http::header::HOST, host_header);
    if given("user-agent").is_none() {
        request = request.header(http::header::USER_AGENT, agent);
    }
    if given("accept").is_none() {
        request = request.header(http::header::ACCEPT, "*/*");
    }
    request = request.header(http::header::CONNECTION, "close");
    for header in action.http_headers.iter().flatten().filter(|h| !h.name.eq_ignore_ascii_case("host")) {
        request = request.header(header.name.as_str(), header.value.as_str());
    }
    request.body(Empty::new())
}

async fn fetch(target: &redirect::Target, request: Request<Empty<Bytes>>) -> Result<Answer, String> {
    let (host, port) = (target.host.as_str(), target.port);
    let stream = TcpStream::connect((host, port)).await.map_err(|error| dial_error(host, port, &error))?;
    if target.secure {
        let stream = tls::connect(stream, host).await.map_err(|error| error.to_string())?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| stdx::error_chain(&error))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| stdx::error_chain(&error))?;
        let status = response.status().as_u16();
        let location = response.headers().get(http::header::LOCATION);
        // A place that is no text leads nowhere.
        let location = location.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        // A longer body is as good an answer as a short one.
        let body = body.map(|b| String::from_utf8_lossy(&b.to_bytes()).into_owned()).unwrap_or_default();
        Ok(Answer { status, location, body })
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection ended first: the answer, or the reason why there is none, is on its way.
        _ = &mut connection => answer.await,
    }
}

/// A port by number or by the container's name for it.
fn port(port: &IntOrString, container: &Container) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            match container.ports.iter().flatten().find(|p| p.name.as_ref() == Some(name)) {
                Some(port) => port.container_port,
                None => name.parse().ok()?,
            }
        }
    };
    u16::try_from(number).ok().filter(|p| *p != 0)
}

fn no_port(port: &IntOrString) -> Finding {
    let shown = match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    Finding::Bad(format!("couldn't find port: {shown}"))
}

pub(crate) fn join(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{host}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

fn dial_error(host: &str, port: u16, error: &std::io::Error) -> String {
    let what = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        std::io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {}: {what}", join(host, port))
}

/// `None` once the time is up.
pub(crate) async fn within<T>(clock: &Clock, timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = clock.sleep(timeout) => None,
    }
}
