//! Exec and attach over SPDY: one stream each for error, stdin, stdout, stderr and resize.
//!
//! Upstream: kubelet pkg/kubelet/cri streaming/remotecommand/httpstream.go.

use std::time::Duration;

use stdx::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::connection::{Stream, serve};
use crate::streaming::Wants;
use crate::streaming::session::{Channel, Wire, parse_size};

/// How long a client may take to open its streams.
const OPENING: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

/// How long a client may take to hang up. To close before it has read all, with input of its own unread, could
/// break the connection under what is still on its way.
const GOODBYE: Duration = Duration::from_secs(5);

/// Moves a session's streams until either side is done.
pub(crate) async fn carry<T>(connection: T, wire: Wire, wants: Wants, tasks: Tasks)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut opened = serve(connection, &tasks);
    let Ok(Some(streams)) = tokio::time::timeout(OPENING, collect(&mut opened, wants)).await else {
        return tracing::debug!("client did not open its streams");
    };
    let Wire { stdin, resize, mut output } = wire;
    let Streams { error, stdin: input, stdout, stderr, resize: sizes } = streams;
    let write = async {
        while let Some((channel, data)) = output.recv().await {
            let stream = match channel {
                Channel::Stdout => &stdout,
                Channel::Stderr => &stderr,
                Channel::Error => &error,
            };
            if let Some(stream) = stream
                && !stream.send(data).await
            {
                return;
            }
        }
        for stream in [&stdout, &stderr, &error].into_iter().flatten() {
            stream.finish().await;
        }
    };
    let read = async {
        tokio::join!(feed(input, stdin), pass_sizes(sizes, resize));
        std::future::pending::<()>().await;
    };
    // No more streams come: this ends with the connection.
    let mut hung_up = std::pin::pin!(async { while opened.recv().await.is_some() {} });
    tokio::select! {
        () = write => {}
        () = read => {}
        () = &mut hung_up => return,
    }
    let _ = tokio::time::timeout(GOODBYE, hung_up).await;
}

async fn collect(opened: &mut mpsc::Receiver<Stream>, wants: Wants) -> Option<Streams> {
    let expected =
        1 + [wants.stdin, wants.stdout, wants.stderr && !wants.tty, wants.tty].iter().filter(|w| **w).count();
    let mut streams = Streams::default();
    for _ in 0..expected {
        let stream = opened.recv().await?;
        stream.accept().await;
        let slot = match stream.header("streamtype") {
            Some("error") => &mut streams.error,
            Some("stdin") => &mut streams.stdin,
            Some("stdout") => &mut streams.stdout,
            Some("stderr") => &mut streams.stderr,
            Some("resize") => &mut streams.resize,
            _ => continue,
        };
        *slot = Some(stream);
    }
    Some(streams)
}

/// The end of the client's stream drops the sender, which ends the process's input.
async fn feed(from: Option<Stream>, to: Option<mpsc::Sender<bytes::Bytes>>) {
    let (Some(from), Some(to)) = (from, to) else { return };
    while let Some(data) = from.receive().await {
        if to.send(data).await.is_err() {
            return;
        }
    }
}

async fn pass_sizes(from: Option<Stream>, to: mpsc::Sender<(u16, u16)>) {
    let Some(from) = from else { return };
    while let Some(data) = from.receive().await {
        if let Some(size) = parse_size(&data) {
            // A session that ends needs no size.
            let _ = to.send(size).await;
        }
    }
}
