//! A connection: its streams, one task that reads and one that writes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use stdx::Tasks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, mpsc};

use super::frame::{self, Frame};
use super::headers::{Compressor, Decompressor, Headers};

/// Frames that wait: a reader that is slow slows the other side down.
const WAITING: usize = 64;

/// A stream that the client opened.
pub(crate) struct Stream {
    id: u32,
    headers: Headers,
    inbound: Mutex<mpsc::Receiver<Bytes>>,
    outbound: mpsc::Sender<Frame>,
    reset: Arc<AtomicBool>,
}

impl Stream {
    /// By its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Tells the client that its stream stands.
    pub(crate) async fn accept(&self) {
        self.say(Frame::Reply { stream: self.id }).await;
    }

    /// What the client sends; `None` once it has finished, reset the stream or gone.
    pub(crate) async fn receive(&self) -> Option<Bytes> {
        self.inbound.lock().await.recv().await
    }

    /// Whether the client gave the whole stream up, not only its half.
    pub(crate) fn was_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// False when the client has gone.
    pub(crate) async fn send(&self, data: Bytes) -> bool {
        !self.was_reset() && self.say(Frame::Data { stream: self.id, data, fin: false }).await
    }

    /// Ends our half.
    pub(crate) async fn finish(&self) {
        if !self.was_reset() {
            self.say(Frame::Data { stream: self.id, data: Bytes::new(), fin: true }).await;
        }
    }

    async fn say(&self, frame: Frame) -> bool {
        self.outbound.send(frame).await.is_ok()
    }
}

/// Speaks with a client; the streams that it opens are received until it goes.
pub(crate) fn serve<T>(connection: T, tasks: &Tasks) -> mpsc::Receiver<Stream>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (reader, writer) = tokio::io::split(connection);
    let (opened, streams) = mpsc::channel(WAITING);
    let (outbound, frames) = mpsc::channel(WAITING);
    tasks.spawn("spdy-reader", read(reader, opened, outbound));
    tasks.spawn("spdy-writer", write(writer, frames));
    streams
}

/// What the reader keeps of a stream.
struct Inbound {
    data: mpsc::Sender<Bytes>,
    reset: Arc<AtomicBool>,
}

async fn read<T>(mut reader: ReadHalf<T>, opened: mpsc::Sender<Stream>, outbound: mpsc::Sender<Frame>)
where
    T: AsyncRead + Unpin,
{
    let mut headers = Decompressor::new();
    let mut streams: HashMap<u32, Inbound> = HashMap::new();
    loop {
        let frame = tokio::select! {
            frame = frame::read(&mut reader, &mut headers) => frame,
            // Nobody serves this connection any longer, nor any stream of it.
            () = done(&opened, &outbound, &streams) => return,
        };
        match frame {
            Ok(Some(Frame::Open { stream, headers, fin })) => {
                let inbound = open(stream, headers, &opened, &outbound).await;
                if let Some(inbound) = inbound.filter(|_| !fin) {
                    streams.insert(stream, inbound);
                }
            }
            Ok(Some(Frame::Data { stream, data, fin })) => {
                if let Some(inbound) = streams.get(&stream).filter(|_| !data.is_empty()) {
                    // Who does not read any longer does not miss it.
                    let _ = inbound.data.send(data).await;
                }
                if fin {
                    streams.remove(&stream);
                }
            }
            Ok(Some(Frame::Reset { stream })) => {
                if let Some(inbound) = streams.remove(&stream) {
                    inbound.reset.store(true, Ordering::Relaxed);
                }
            }
            Ok(Some(Frame::Ping { id })) => drop(outbound.send(Frame::Ping { id }).await),
            Ok(Some(Frame::Reply { .. } | Frame::Other)) => {}
            Ok(Some(Frame::GoAway) | None) => break,
            Err(error) => {
                tracing::debug!(%error, "SPDY connection ended");
                break;
            }
        }
    }
    for inbound in streams.values() {
        inbound.reset.store(true, Ordering::Relaxed);
    }
}

/// Returns once neither the server nor the writer listens.
async fn done(
    opened: &mpsc::Sender<Stream>,
    outbound: &mpsc::Sender<Frame>,
    streams: &HashMap<u32, Inbound>,
) {
    tokio::select! {
        () = outbound.closed() => {}
        () = async { opened.closed().await; futures::future::join_all(streams.values().map(|s| s.data.closed())).await; } => {}
    }
}

async fn open(
    id: u32,
    headers: Headers,
    opened: &mpsc::Sender<Stream>,
    outbound: &mpsc::Sender<Frame>,
) -> Option<Inbound> {
    let (data, inbound) = mpsc::channel(WAITING);
    let reset = Arc::new(AtomicBool::new(false));
    let stream = Stream {
        id,
        headers,
        inbound: Mutex::new(inbound),
        outbound: outbound.clone(),
        reset: reset.clone(),
    };
    opened.send(stream).await.ok().map(|()| Inbound { data, reset })
}

async fn write<T>(mut writer: WriteHalf<T>, mut frames: mpsc::Receiver<Frame>)
where
    T: AsyncWrite + Unpin,
{
    let Ok(mut headers) = Compressor::new() else { return };
    while let Some(frame) = frames.recv().await {
        let Ok(bytes) = frame::write(&frame, &mut headers) else { return };
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    // The other side may have closed first.
    let _ = writer.shutdown().await;
}
