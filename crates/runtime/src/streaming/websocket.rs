//! WebSocket: exec and attach on numbered channels, and a tunnel of bytes for port-forward's SPDY.
//!
//! Upstream: apimachinery util/remotecommand (channels), client-go tools/portforward/tunneling_connection.go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::{Sink, SinkExt, Stream, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::Wants;
use super::session::{Channel, Wire, parse_size};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// v5: the byte after it names the channel that ends.
const CLOSE: u8 = 255;

/// How long a client may take to answer a close.
const GOODBYE: Duration = Duration::from_secs(5);

/// Clients take a close without a code for a failure.
pub(super) fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) async fn accept(connection: TokioIo<Upgraded>) -> Socket {
    WebSocketStream::from_raw_socket(connection, Role::Server, None).await
}

/// Moves a session's streams until either side is done.
pub(super) async fn carry(socket: Socket, mut wire: Wire, wants: Wants) {
    let (mut to_client, mut from_client) = socket.split();
    // An empty message on the first stream tells the client that the session stands.
    let first = if wants.stdout {
        STDOUT
    } else if wants.stderr {
        STDERR
    } else {
        ERROR
    };
    if to_client.send(Message::binary(vec![first])).await.is_err() {
        return;
    }
    let mut stdin = wire.stdin.take();
    let read = async {
        while let Some(Ok(message)) = from_client.next().await {
            match message {
                Message::Binary(data) => take(&data, &mut stdin, &wire.resize).await,
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    let write = async {
        while let Some((channel, data)) = wire.output.recv().await {
            if to_client.send(message(channel, &data)).await.is_err() {
                return;
            }
        }
        // The client may have hung up first.
        let _ = to_client.send(goodbye()).await;
    };
    let mut read = std::pin::pin!(read);
    tokio::select! {
        () = &mut read => return,
        () = write => {}
    }
    // The client answers the close, and only then is everything before it known to have arrived.
    let _ = tokio::time::timeout(GOODBYE, read).await;
}

async fn take(
    data: &Bytes,
    stdin: &mut Option<tokio::sync::mpsc::Sender<Bytes>>,
    resize: &tokio::sync::mpsc::Sender<(u16, u16)>,
) {
    match data.first() {
        Some(&STDIN) => {
            if let Some(input) = stdin
                && input.send(data.slice(1..)).await.is_err()
            {
                *stdin = None;
            }
        }
        Some(&RESIZE) => {
            if let Some(size) = parse_size(&data[1..]) {
                // A session that ends needs no size.
                let _ = resize.send(size).await;
            }
        }
        Some(&CLOSE) if data.get(1) == Some(&STDIN) => *stdin = None,
        _ => {}
    }
}

fn message(channel: Channel, data: &[u8]) -> Message {
    let number = match channel {
        Channel::Stdout => STDOUT,
        Channel::Stderr => STDERR,
        Channel::Error => ERROR,
    };
    let mut framed = Vec::with_capacity(data.len() + 1);
    framed.push(number);
    framed.extend_from_slice(data);
    Message::binary(framed)
}

/// A WebSocket as a stream of bytes: message borders mean nothing.
pub(super) struct Tunnel {
    socket: Socket,
    rest: Bytes,
    /// The close was sent.
    closing: bool,
}

pub(super) async fn tunnel(connection: TokioIo<Upgraded>) -> Tunnel {
    Tunnel { socket: accept(connection).await, rest: Bytes::new(), closing: false }
}

fn broken(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(data))) => self.rest = data,
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let count = self.rest.len().min(into.remaining());
        into.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(broken)?;
        Pin::new(&mut self.socket).start_send(Message::binary(data.to_vec())).map_err(broken)?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(broken)?;
            Pin::new(&mut self.socket).start_send(goodbye()).map_err(broken)?;
            self.closing = true;
        }
        Pin::new(&mut self.socket).poll_flush(cx).map_err(broken)
    }
}
