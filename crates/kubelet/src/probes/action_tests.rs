//! Probes against real servers on loopback: HTTP and HTTPS with redirects, gRPC.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, GRPCAction, HTTPGetAction, HTTPHeader};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use stdx::{Clock, Tasks};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::action::{Finding, http_get};
use super::grpc;

const TIMEOUT: Duration = Duration::from_secs(10);

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// Answers by path; `/hop/N` leads to `/hop/N-1`.
async fn site(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let to = |place: String| {
        let redirect = Response::builder().status(302).header("location", place);
        redirect.body(Full::default()).expect("a response")
    };
    let agent = request.headers().get("x-asked").and_then(|v| v.to_str().ok()).unwrap_or_default();
    Ok(match request.uri().path() {
        "/ok" => Response::new(Full::from(format!("fine {agent}"))),
        "/away" => to("http://203.0.113.1/".into()),
        "/hop/0" => to("/ok".into()),
        path => match path.strip_prefix("/hop/").and_then(|n| n.parse::<u32>().ok()) {
            Some(n) => to(format!("/hop/{}", n - 1)),
            None => Response::builder().status(404).body(Full::default()).expect("a response"),
        },
    })
}

async fn one<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) {
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(site));
    // The probe hangs up when it has its answer.
    let _ = served.await;
}

fn acceptor() -> TlsAcceptor {
    let now = Timestamp::from_second(1_800_000_000).expect("in range");
    let authority = pki::Authority::create("test", now).expect("an authority");
    let profile = pki::Profile::kubelet_serving("node", &["192.0.2.9".parse().expect("an address")]);
    let credential = authority.issue(&profile, now).expect("a certificate");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(credential.certificate.as_bytes())
        .collect::<Result<_, _>>()
        .expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(credential.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

async fn get(port: u16, scheme: &str, path: &str) -> Finding {
    let action = HTTPGetAction {
        path: Some(path.into()),
        port: IntOrString::Int(port.into()),
        scheme: Some(scheme.into()),
        http_headers: Some(vec![HTTPHeader { name: "X-Asked".into(), value: "here".into() }]),
        ..HTTPGetAction::default()
    };
    http_get(&Clock::system(), "127.0.0.1", &Container::default(), &action, "test", TIMEOUT).await
}

#[tokio::test]
async fn http_follows_redirects_within_the_host() {
    let ((listener, port), tasks) = (listener().await, Tasks::new());
    tasks.spawn("site", async move {
        while let Ok((stream, _)) = listener.accept().await {
            one(stream).await;
        }
    });
    assert_eq!(get(port, "HTTP", "/ok").await, Finding::Good("fine here".into()));
    assert_eq!(get(port, "HTTP", "hop/3").await, Finding::Good("fine here".into()));
    assert_eq!(get(port, "HTTP", "/away").await, Finding::Good(String::new()), "an answer, if not followed");
    assert_eq!(
        get(port, "HTTP", "/hop/20").await,
        Finding::Bad(format!("Get \"http://127.0.0.1:{port}/hop/20\": stopped after 10 redirects"))
    );
    assert_eq!(get(port, "HTTP", "/no").await, Finding::Bad("HTTP probe failed with statuscode: 404".into()));
}

#[tokio::test]
async fn https_believes_any_certificate() {
    let ((listener, port), tasks, tls) = (listener().await, Tasks::new(), acceptor());
    tasks.spawn("site", async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = tls.accept(stream).await {
                one(stream).await;
            }
        }
    });
    assert_eq!(get(port, "HTTPS", "/hop/1").await, Finding::Good("fine here".into()));
    assert!(matches!(get(port, "HTTP", "/ok").await, Finding::Bad(_)), "no HTTP on a TLS port");
}

/// `grpc.health.v1`: SERVING for "up", NOT_SERVING for "", an error for others.
async fn health(
    request: Request<Incoming>,
) -> Result<Response<StreamBody<Frames>>, std::convert::Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let (status, code) = match body.get(7..).unwrap_or_default() {
        b"up" => (Some(1), "0"),
        b"" => (Some(2), "0"),
        _ => (None, "5"),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    let mut message = BytesMut::new();
    if let Some(status) = status {
        message.put_slice(&[0, 0, 0, 0, 2, 0x08, status]);
    }
    let frames = [Ok(Frame::data(message.freeze())), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

type Frames = futures::stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>, 2>>;

#[tokio::test]
async fn grpc_asks_for_the_health_of_a_service() {
    let ((listener, port), tasks) = (listener().await, Tasks::new());
    tasks.spawn("health", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // The probe hangs up when it has its answer.
            let _ = server.serve_connection(TokioIo::new(stream), service_fn(health)).await;
        }
    });
    let ask = async |service: &str| {
        let action = GRPCAction { port: port.into(), service: Some(service.into()) };
        grpc::check(&Clock::system(), "127.0.0.1", &action, TIMEOUT).await
    };
    assert_eq!(ask("up").await, Finding::Good(String::new()));
    let unhealthy = "service unhealthy (responded with \"NOT_SERVING\")";
    assert_eq!(ask("").await, Finding::Bad(unhealthy.into()));
    assert_eq!(ask("other").await, Finding::Bad("error: health rpc failed".into()));
}
