//! The gRPC health protocol, by hand: one field out, one field in.
//!
//! Source: grpc.health.v1. Upstream: pkg/probe/grpc.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::GRPCAction;
use stdx::Clock;
use tokio::net::TcpStream;

use super::action::{Finding, join, within};

pub(crate) async fn check(clock: &Clock, ip: &str, action: &GRPCAction, timeout: Duration) -> Finding {
    let Ok(port) = u16::try_from(action.port) else {
        return Finding::Bad(format!("invalid port: {}", action.port));
    };
    let address = join(ip, port);
    match within(clock, timeout, ask(&address, action.service.as_deref().unwrap_or_default())).await {
        None => Finding::Bad(format!("timeout: health rpc did not complete within {}s", timeout.as_secs())),
        Some(Err(why)) => Finding::Bad(format!("error: {why}")),
        Some(Ok(1)) => Finding::Good(String::new()),
        Some(Ok(status)) => {
            Finding::Bad(format!("service unhealthy (responded with {:?})", status_name(status)))
        }
    }
}

fn status_name(status: u8) -> &'static str {
    match status {
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

async fn ask(address: &str, service: &str) -> Result<u8, String> {
    let stream =
        TcpStream::connect(address).await.map_err(|e| format!("failed to connect to {address:?}: {e}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|e| stdx::error_chain(&e))?;
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(message(service)))
        .map_err(|e| e.to_string())?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|e| stdx::error_chain(&e))?;
        let body = response.into_body().collect().await.map_err(|e| stdx::error_chain(&e))?;
        let failed = body.trailers().and_then(|t| t.get("grpc-status")).is_some_and(|s| s != "0");
        let bytes = body.to_bytes();
        if failed || bytes.len() < 5 {
            return Err("health rpc failed".to_owned());
        }
        // Field 1, a varint; absent means UNKNOWN.
        Ok(if bytes.len() >= 7 && bytes[5] == 0x08 { bytes[6] } else { 0 })
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = &mut connection => answer.await,
    }
}

/// The request in gRPC's frame: field 1 is the service's name.
fn message(service: &str) -> Bytes {
    let mut body = BytesMut::new();
    if !service.is_empty() {
        body.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            body.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        body.put_u8(length as u8);
        body.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(body.len() as u32);
    framed.put(body);
    framed.freeze()
}
