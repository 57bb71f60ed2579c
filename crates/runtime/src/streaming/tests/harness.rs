//! A runtime without containers, and the clients.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use stdx::{Clock, Random, Shutdown, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::streaming::spdy::{self, Compressor, Decompressor, Frame};
use crate::streaming::{Backend, BoxError, Duplex, Process, Server, Wants};

/// What one side may be ahead of the other.
const PIPE: usize = 1 << 16;

struct Pretender;

#[async_trait]
impl Backend for Pretender {
    /// `fail` cannot start; `size` prints the first size of its terminal; `many N` prints N bytes without reading
    /// its input; all else is `cat` that exits with 7.
    async fn exec(&self, _: &str, command: &[String], _: Wants) -> Result<Process, BoxError> {
        if command[0] == "fail" {
            return Err("no such file".into());
        }
        Ok(pretend(command.to_vec()))
    }

    async fn attach(&self, _: &str, _: Wants) -> Result<Process, BoxError> {
        Ok(pretend(vec!["cat".to_owned()]))
    }

    /// Port 7 echoes; no other one listens.
    async fn port_forward(&self, _: &str, port: u16) -> Result<Box<dyn Duplex>, BoxError> {
        let (ours, theirs) = duplex(PIPE);
        match port {
            7 => drop(Tasks::new().spawn("echo", echo(theirs))),
            _ => return Err("connection refused".into()),
        }
        Ok(Box::new(ours))
    }
}

async fn echo(stream: DuplexStream) {
    let (mut from, mut to) = tokio::io::split(stream);
    tokio::io::copy(&mut from, &mut to).await.unwrap();
    to.shutdown().await.unwrap();
}

fn pretend(command: Vec<String>) -> Process {
    let (stdin, mut input) = duplex(PIPE);
    let (mut output, stdout) = duplex(PIPE);
    let (resize, mut sizes) = mpsc::channel(1);
    let (exit, exited) = oneshot::channel();
    Tasks::new().spawn("process", async move {
        let code = match command[0].as_str() {
            "many" => {
                let many = vec![b'x'; command[1].parse().unwrap()];
                output.write_all(&many).await.unwrap();
                0
            }
            "size" => {
                let (columns, rows) = sizes.recv().await.unwrap();
                output.write_all(format!("{columns}x{rows}").as_bytes()).await.unwrap();
                0
            }
            _ => {
                tokio::io::copy(&mut input, &mut output).await.unwrap();
                7
            }
        };
        exit.send(code).unwrap();
    });
    Process {
        stdin: Some(Box::pin(stdin)),
        stdout: Some(Box::pin(stdout)),
        stderr: None,
        resize,
        exit: async { Ok(exited.await?) }.boxed(),
    }
}

/// A server, and what keeps it alive.
pub(super) async fn server() -> (Server, stdx::Trigger) {
    let (trigger, shutdown) = Shutdown::new();
    let random = Random::seeded(3);
    let server = Server::start(Arc::new(Pretender), Clock::system(), random, Tasks::new(), shutdown).await;
    (server.unwrap(), trigger)
}

pub(super) async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.split('/').nth(2).unwrap()).await.unwrap()
}

pub(super) async fn web_socket(url: &str, protocol: &str) -> WebSocketStream<TcpStream> {
    let mut request = url.replace("http://", "ws://").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    tokio_tungstenite::client_async(request, connect(url).await).await.unwrap().0
}

/// A client that speaks SPDY on whatever it is given.
pub(super) struct Spdy<T> {
    io: T,
    to: Compressor,
    from: Decompressor,
}

pub(super) async fn spdy(url: &str, protocol: &str) -> Spdy<TcpStream> {
    let mut io = connect(url).await;
    let path = url.splitn(4, '/').nth(3).unwrap();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n"
    );
    io.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(io.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(answer.contains(&format!("x-stream-protocol-version: {}", protocol.to_lowercase())), "{answer}");
    Spdy::on(io)
}

impl<T: Duplex> Spdy<T> {
    pub(super) fn on(io: T) -> Self {
        Self { io, to: Compressor::new().unwrap(), from: Decompressor::new() }
    }

    pub(super) async fn say(&mut self, frame: Frame) {
        let bytes = spdy::write(&frame, &mut self.to).unwrap();
        self.io.write_all(&bytes).await.unwrap();
        self.io.flush().await.unwrap();
    }

    pub(super) async fn open(&mut self, stream: u32, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.say(Frame::Open { stream, headers, fin: false }).await;
    }

    pub(super) async fn send(&mut self, stream: u32, text: &'static str, fin: bool) {
        self.say(Frame::Data { stream, data: text.into(), fin }).await;
    }

    /// What comes on the streams until all of them have ended.
    pub(super) async fn read<const N: usize>(&mut self, streams: [u32; N]) -> [String; N] {
        let mut text = [const { String::new() }; N];
        let mut left = N;
        while left > 0 {
            let Some(Frame::Data { stream, data, fin }) = soon(self.frame()).await else { continue };
            let at = streams.iter().position(|s| *s == stream).unwrap();
            text[at].push_str(std::str::from_utf8(&data).unwrap());
            left -= usize::from(fin);
        }
        text
    }

    pub(super) async fn frame(&mut self) -> Option<Frame> {
        spdy::read(&mut self.io, &mut self.from).await.unwrap()
    }
}

pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing happens")
}
