//! Port-forward.

use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::harness::{Spdy, connect, server, soon, spdy, web_socket};
use crate::streaming::Duplex;
use crate::streaming::spdy::Frame;

async fn echoes<T: Duplex>(client: &mut Spdy<T>) {
    for (first, id) in [(1, "0"), (5, "1")] {
        let headers = |streamtype| [("streamtype", streamtype), ("port", "7"), ("requestID", id)];
        client.open(first, &headers("error")).await;
        client.open(first + 2, &headers("data")).await;
        client.send(first + 2, "hello", true).await;
        assert_eq!(client.read([first, first + 2]).await, ["", "hello"]);
    }
}

#[tokio::test]
async fn over_spdy() {
    let (server, _trigger) = server().await;
    echoes(&mut spdy(&server.port_forward("s", &[]), "portforward.k8s.io").await).await;
}

#[tokio::test]
async fn over_spdy_in_a_web_socket() {
    let (server, _trigger) = server().await;
    let url = server.port_forward("s", &[]);
    let socket = web_socket(&url, "SPDY/3.1+portforward.k8s.io").await;
    // The messages of a WebSocket as bytes, both ways.
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    stdx::Tasks::new().spawn("tunnel", pump(socket, theirs));
    echoes(&mut Spdy::on(ours)).await;
}

async fn pump(
    mut socket: tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>,
    io: tokio::io::DuplexStream,
) {
    let mut bytes = tokio_util::codec::Framed::new(io, tokio_util::codec::BytesCodec::new());
    loop {
        tokio::select! {
            Some(Ok(out)) = bytes.next() => socket.send(Message::binary(out.freeze())).await.unwrap(),
            Some(Ok(Message::Binary(back))) = socket.next() => bytes.send(back).await.unwrap(),
            else => return,
        }
    }
}

#[tokio::test]
async fn what_went_wrong_is_told() {
    let (server, _trigger) = server().await;
    let mut client = spdy(&server.port_forward("s", &[]), "portforward.k8s.io").await;
    for (stream, streamtype) in [(1, "error"), (3, "data")] {
        client.open(stream, &[("streamtype", streamtype), ("port", "80"), ("requestID", "0")]).await;
    }
    let [error, _] = client.read([1, 3]).await;
    assert_eq!(error, "error forwarding port 80 to pod s, uid : connection refused");
    client.say(Frame::Ping { id: 5 }).await;
    assert_eq!(soon(client.frame()).await, Some(Frame::Ping { id: 5 }));
}

#[tokio::test]
async fn over_web_socket_channels() {
    let (server, _trigger) = server().await;
    let mut socket = web_socket(&server.port_forward("s", &[7, 80]), "v4.channel.k8s.io").await;
    socket.send(Message::binary(&b"\x00hello"[..])).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.push(
            String::from_utf8_lossy(&soon(socket.next()).await.unwrap().unwrap().into_data()).into_owned(),
        );
    }
    seen.sort();
    let error = "\x03error forwarding port 80 to pod s, uid : connection refused";
    assert_eq!(seen, ["\0\x07\0", "\0hello", "\x01\x07\0", "\x02P\0", "\x03P\0", error]);
}

#[tokio::test]
async fn a_request_without_an_upgrade_is_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (server, _trigger) = server().await;
    let url = server.port_forward("s", &[]);
    let mut io = connect(&url).await;
    let path = url.splitn(4, '/').nth(3).unwrap();
    let head = format!("GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
