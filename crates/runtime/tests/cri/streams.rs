//! Exec and attach as clients have them: over a WebSocket, to real processes.

use std::time::Duration;

use cri::v1;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::Server;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// A client of one session.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn connect(url: &str) -> Self {
        let mut request = url.replace("http://", "ws://").into_client_request().unwrap();
        let protocol = "v5.channel.k8s.io".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let address = request.uri().authority().unwrap().to_string();
        let stream = TcpStream::connect(address).await.unwrap();
        Self(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }

    async fn send(&mut self, channel: u8, data: &[u8]) {
        let message = [&[channel], data].concat();
        self.0.send(Message::Binary(message.into())).await.unwrap();
    }

    /// What came on `channel`, up to the end or to `until` in it.
    async fn read(&mut self, until: Option<&str>) -> [String; 4] {
        let mut text: [Vec<u8>; 4] = Default::default();
        let read = async {
            while let Some(Ok(message)) = self.0.next().await {
                if let Message::Close(frame) = &message {
                    assert_eq!(
                        frame.as_ref().map(|f| u16::from(f.code)),
                        Some(1000),
                        "kubectl fails otherwise"
                    );
                }
                if let Message::Binary(data) = message
                    && let Some(slot) = data.first().and_then(|channel| text.get_mut(usize::from(*channel)))
                {
                    slot.extend_from_slice(&data[1..]);
                }
                let stdout = String::from_utf8_lossy(&text[usize::from(STDOUT)]);
                if until.is_some_and(|until| stdout.contains(until)) {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("the session does not end");
        text.map(|bytes| String::from_utf8(bytes).unwrap())
    }
}

async fn exec(server: &mut Server, id: &str, command: &str, tty: bool) -> Client {
    let request = v1::ExecRequest {
        container_id: id.to_owned(),
        cmd: ["sh", "-c", command].map(str::to_owned).to_vec(),
        tty,
        stdin: true,
        stdout: true,
        stderr: !tty,
        ..Default::default()
    };
    Client::connect(&server.client.exec(request).await.unwrap().into_inner().url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_streams_and_tells_the_exit_code() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server.run(&sandbox, &["sleep", "1000"]).await;
    let mut client = exec(&mut server, &id, "cat; echo sorry >&2; exit 7", false).await;
    client.send(STDIN, b"through stdin\n").await;
    client.send(CLOSE, &[STDIN]).await;
    let text = client.read(None).await;
    assert_eq!([&text[usize::from(STDOUT)], &text[usize::from(STDERR)]], ["through stdin\n", "sorry\n"]);
    let status: serde_json::Value = serde_json::from_str(&text[usize::from(ERROR)]).unwrap();
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"][0]["message"], "7");
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_on_a_terminal_is_resized() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server.run(&sandbox, &["sleep", "1000"]).await;
    let script = "test -t 0 && echo ready; read line; stty size; exit 0";
    let mut client = exec(&mut server, &id, script, true).await;
    client.read(Some("ready")).await;
    client.send(RESIZE, br#"{"Width":91,"Height":17}"#).await;
    client.send(STDIN, b"go\n").await;
    let text = client.read(None).await;
    assert!(text[usize::from(STDOUT)].contains("17 91"), "{text:?}");
    assert!(text[usize::from(ERROR)].contains("Success"), "{text:?}");
    server.remove_sandbox(&sandbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_speaks_with_the_first_process() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server
        .create(
            &sandbox,
            &["sh", "-c", "while read line; do echo got $line; done; echo end >&2; exit 4"],
            |config| {
                config.stdin = true;
                config.stdin_once = true;
            },
        )
        .await;
    server.start_container(&id).await;
    let request = v1::AttachRequest {
        container_id: id.clone(),
        stdin: true,
        stdout: true,
        stderr: true,
        ..Default::default()
    };
    let url = server.client.attach(request).await.unwrap().into_inner().url;
    let mut client = Client::connect(&url).await;
    client.send(STDIN, b"one\n").await;
    client.read(Some("got one")).await;
    client.send(CLOSE, &[STDIN]).await;
    let text = client.read(None).await;
    assert_eq!(text[usize::from(STDERR)], "end\n");
    assert_eq!(server.ended(&id).await.exit_code, 4);
    let log = std::fs::read_to_string(server.logs().join("c/0.log")).unwrap();
    assert!(log.contains("stdout F got one") && log.contains("stderr F end"), "{log}");
    server.remove_sandbox(&sandbox).await;
    assert_eq!(server.traces(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_once() {
    let mut server = Server::start().await;
    let sandbox = server.sandbox(|_| {}).await;
    let id = server.run(&sandbox, &["sleep", "1000"]).await;
    let request = v1::ExecRequest {
        container_id: id,
        cmd: vec!["true".to_owned()],
        stdout: true,
        ..Default::default()
    };
    let url = server.client.exec(request).await.unwrap().into_inner().url;
    Client::connect(&url).await.read(None).await;
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let request = url.replace("http://", "ws://").into_client_request().unwrap();
    assert!(tokio_tungstenite::client_async(request, stream).await.is_err());
}
