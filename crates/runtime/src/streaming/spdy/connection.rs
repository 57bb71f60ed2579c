//! A connection: its streams, one task that reads and one that writes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use stdx::Tasks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

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
    gone: CancellationToken,
    /// Lets the reader forget a stream that nobody has any more.
    _held: Arc<()>,
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

    /// Until the client gives the whole stream up, not only its half, or goes.
    pub(crate) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// False when the client has gone.
    pub(crate) async fn send(&self, data: Bytes) -> bool {
        !self.gone.is_cancelled() && self.say(Frame::Data { stream: self.id, data, fin: false }).await
    }

    /// Ends our half.
    pub(crate) async fn finish(&self) {
        if !self.gone.is_cancelled() {
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
    /// Until the client has finished its half, or nobody reads it.
    data: Option<mpsc::Sender<Bytes>>,
    gone: CancellationToken,
    held: Weak<()>,
}

type Streams = HashMap<u32, Inbound>;

async fn read<T>(mut reader: ReadHalf<T>, opened: mpsc::Sender<Stream>, outbound: mpsc::Sender<Frame>)
where
    T: AsyncRead + Unpin,
{
    let mut headers = Decompressor::new();
    let ended = CancellationToken::new();
    // Also when this task is stopped.
    let _end = ended.clone().drop_guard();
    let mut streams = Streams::new();
    loop {
        let frame = tokio::select! {
            frame = frame::read(&mut reader, &mut headers) => frame,
            // Nobody serves this connection any longer, nor any stream of it.
            () = done(&opened, &outbound, &streams) => return,
        };
        match frame {
            Ok(Some(Frame::Open { stream, headers, fin })) => {
                streams.retain(|_, inbound| inbound.held.strong_count() > 0);
                let (stream, inbound) = open(stream, headers, fin, outbound.clone(), ended.child_token());
                streams.insert(stream.id, inbound);
                // When no more are wanted, the stream ends right here.
                let _ = opened.send(stream).await;
            }
            Ok(Some(Frame::Data { stream, data, fin })) => receive(&mut streams, stream, data, fin).await,
            Ok(Some(Frame::Reset { stream })) => {
                if let Some(inbound) = streams.remove(&stream) {
                    inbound.gone.cancel();
                }
            }
            Ok(Some(Frame::Ping { id })) => drop(outbound.send(Frame::Ping { id }).await),
            Ok(Some(Frame::Reply { .. } | Frame::Other)) => {}
            Ok(Some(Frame::GoAway) | None) => return,
            Err(error) => return tracing::debug!(%error, "SPDY connection ended"),
        }
    }
}

async fn receive(streams: &mut Streams, stream: u32, data: Bytes, fin: bool) {
    let Some(inbound) = streams.get_mut(&stream) else { return };
    if let Some(reader) = inbound.data.as_ref().filter(|_| !data.is_empty()) {
        // Who does not read any longer does not miss it.
        let _ = reader.send(data).await;
    }
    if fin {
        inbound.data = None;
    }
}

/// Returns once neither the server nor the writer listens.
async fn done(opened: &mpsc::Sender<Stream>, outbound: &mpsc::Sender<Frame>, streams: &Streams) {
    let unread = async {
        opened.closed().await;
        futures::future::join_all(streams.values().filter_map(|s| Some(s.data.as_ref()?.closed()))).await;
    };
    tokio::select! {
        () = outbound.closed() => {}
        () = unread => {}
    }
}

fn open(
    id: u32,
    headers: Headers,
    fin: bool,
    outbound: mpsc::Sender<Frame>,
    gone: CancellationToken,
) -> (Stream, Inbound) {
    let (data, inbound) = mpsc::channel(WAITING);
    let held = Arc::new(());
    let kept = Inbound { data: Some(data).filter(|_| !fin), gone: gone.clone(), held: Arc::downgrade(&held) };
    (Stream { id, headers, inbound: Mutex::new(inbound), outbound, gone, _held: held }, kept)
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
