//! Exec and attach.

use expect_test::expect;
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::harness::{server, soon, spdy, web_socket};
use crate::streaming::Wants;

const PIPED: Wants = Wants { stdin: true, stdout: true, stderr: false, tty: false };
const TTY: Wants = Wants { tty: true, ..PIPED };

fn command(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn exec_over_spdy() {
    let (server, _trigger) = server().await;
    let mut client = spdy(&server.exec("c", &command("cat"), PIPED), "v4.channel.k8s.io").await;
    for (stream, name) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
        client.open(stream, &[("streamtype", name)]).await;
    }
    client.send(3, "through stdin", true).await;
    let [error, stdout] = client.read([1, 5]).await;
    assert_eq!(stdout, "through stdin");
    expect![[r#"{"details":{"causes":[{"message":"7","reason":"ExitCode"}]},"message":"command terminated with non-zero exit code: exit status 7","metadata":{},"reason":"NonZeroExitCode","status":"Failure"}"#]]
    .assert_eq(&error);
}

#[tokio::test]
async fn a_terminal_is_resized_over_spdy() {
    let (server, _trigger) = server().await;
    let mut client = spdy(&server.exec("c", &command("size"), TTY), "v4.channel.k8s.io").await;
    for (stream, name) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "resize")] {
        client.open(stream, &[("streamtype", name)]).await;
    }
    client.send(7, "{\"Width\":91,\"Height\":17}\n", false).await;
    let [error, stdout] = client.read([1, 5]).await;
    assert_eq!(stdout, "91x17");
    assert_eq!(error, r#"{"metadata":{},"status":"Success"}"#);
}

#[tokio::test]
async fn the_error_of_a_start_is_told() {
    let (server, _trigger) = server().await;
    let mut client = spdy(&server.exec("c", &command("fail"), PIPED), "v4.channel.k8s.io").await;
    for (stream, name) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
        client.open(stream, &[("streamtype", name)]).await;
    }
    let [error, _] = client.read([1, 5]).await;
    expect![[r#"{"code":500,"details":{"causes":[{"message":"error executing command in container: no such file"}]},"message":"Internal error occurred: error executing command in container: no such file","metadata":{},"reason":"InternalError","status":"Failure"}"#]]
    .assert_eq(&error);
}

/// Input that the process never reads must not cost the client its output.
#[tokio::test]
async fn unread_input_breaks_nothing() {
    let (server, _trigger) = server().await;
    let mut client = spdy(&server.exec("c", &command("many 500000"), PIPED), "v4.channel.k8s.io").await;
    for (stream, name) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
        client.open(stream, &[("streamtype", name)]).await;
    }
    for _ in 0..200 {
        client.send(3, "nobody reads this. ", false).await;
    }
    let [error, stdout] = client.read([1, 5]).await;
    assert_eq!((stdout.len(), error.contains("Success")), (500_000, true));
}

#[tokio::test]
async fn attach_has_no_exit_code() {
    let (server, _trigger) = server().await;
    let mut socket = web_socket(&server.attach("c", PIPED), "v5.channel.k8s.io").await;
    socket.send(Message::binary(&b"\x00hello"[..])).await.unwrap();
    socket.send(Message::binary(&b"\xff\x00"[..])).await.unwrap();
    let mut seen = Vec::new();
    while let Some(Ok(message)) = soon(socket.next()).await {
        seen.push(message.to_text().unwrap_or("binary").replace(['\x01', '\x03'], "#"));
    }
    assert_eq!(seen, ["#", "#hello", "#{\"metadata\":{},\"status\":\"Success\"}", ""]);
}
