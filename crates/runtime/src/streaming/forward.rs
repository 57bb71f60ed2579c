//! Port-forward: pairs of SPDY streams, one for data and one for what went wrong.
//!
//! Upstream: kubelet pkg/kubelet/cri streaming/portforward/httpstream.go.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use stdx::Tasks;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::backend::{Backend, Duplex};
use super::spdy::{self, Stream};

const CHUNK: usize = 32 << 10;
/// Error streams whose data stream never came; the oldest need not be known, only that they are bounded.
const MOST_UNPAIRED: usize = 1000;

/// Serves one client until it goes.
pub(super) async fn run<T>(connection: T, backend: Arc<dyn Backend>, sandbox: String, tasks: Tasks)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut streams = spdy::serve(connection, &tasks);
    let mut unpaired: HashMap<String, Stream> = HashMap::new();
    while let Some(stream) = streams.recv().await {
        let id = stream.header("requestid").or_else(|| stream.header("port")).unwrap_or_default().to_owned();
        stream.accept().await;
        let Some(other) = unpaired.remove(&id) else {
            if unpaired.len() < MOST_UNPAIRED {
                unpaired.insert(id, stream);
            }
            continue;
        };
        let is_data = stream.header("streamtype") == Some("data");
        let (data, error) = if is_data { (stream, other) } else { (other, stream) };
        tasks.spawn("port-forward", forward(data, error, backend.clone(), sandbox.clone()));
    }
}

async fn forward(data: Stream, error: Stream, backend: Arc<dyn Backend>, sandbox: String) {
    let port = data.header("port").and_then(|port| port.parse().ok()).unwrap_or(0u16);
    match backend.port_forward(&sandbox, port).await {
        Ok(connection) => copy(&data, connection).await,
        Err(why) => {
            let message = failure(port, &sandbox, &*why);
            tracing::debug!(message, "port not forwarded");
            error.send(Bytes::from(message)).await;
        }
    }
    error.finish().await;
    data.finish().await;
}

/// Upstream: the pod is known by its sandbox here, and has no UID.
pub(super) fn failure(port: u16, sandbox: &str, why: &(dyn std::error::Error + 'static)) -> String {
    format!("error forwarding port {port} to pod {sandbox}, uid : {}", stdx::error_chain(why))
}

/// The client's side of one forwarded connection.
pub(super) trait Side: Sync {
    fn receive(&self) -> impl Future<Output = Option<Bytes>> + Send;

    /// False when the client has gone.
    fn send(&self, data: Bytes) -> impl Future<Output = bool> + Send;

    /// Until the client gives the connection up as a whole.
    fn gone(&self) -> impl Future<Output = ()> + Send;
}

impl Side for Stream {
    async fn receive(&self) -> Option<Bytes> {
        Stream::receive(self).await
    }

    async fn send(&self, data: Bytes) -> bool {
        Stream::send(self, data).await
    }

    async fn gone(&self) {
        Stream::gone(self).await;
    }
}

/// Until the pod's side has ended; the client's end alone only closes our writing half.
pub(super) async fn copy(data: &impl Side, connection: Box<dyn Duplex>) {
    let (mut from_pod, mut to_pod) = tokio::io::split(connection);
    let down = async {
        let mut buffer = vec![0u8; CHUNK];
        // A connection that fails has ended.
        while let Ok(count @ 1..) = from_pod.read(&mut buffer).await {
            if !data.send(Bytes::copy_from_slice(&buffer[..count])).await {
                return;
            }
        }
    };
    let up = async {
        while let Some(bytes) = data.receive().await {
            if to_pod.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The pod may have closed first.
        let _ = to_pod.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = down => {}
        () = up => {}
        () = data.gone() => {}
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::io::DuplexStream;

    use super::super::backend::{BoxError, Process, Wants};
    use super::super::spdy::frame::{self, Frame};
    use super::super::spdy::headers::{Compressor, Decompressor, Headers};
    use super::*;

    /// Port 80 echoes in capitals; nothing listens elsewhere.
    struct Echo;

    #[async_trait]
    impl Backend for Echo {
        async fn exec(&self, _: &str, _: &[String], _: Wants) -> Result<Process, BoxError> {
            Err("not asked".into())
        }
        async fn attach(&self, _: &str, _: Wants) -> Result<Process, BoxError> {
            Err("not asked".into())
        }
        async fn port_forward(&self, _: &str, port: u16) -> Result<Box<dyn Duplex>, BoxError> {
            if port != 80 {
                return Err("connection refused".into());
            }
            let (ours, mut theirs) = tokio::io::duplex(1024);
            Tasks::new().spawn("echo", async move {
                let mut text = String::new();
                theirs.read_to_string(&mut text).await.unwrap();
                theirs.write_all(text.to_uppercase().as_bytes()).await.unwrap();
            });
            Ok(Box::new(ours))
        }
    }

    struct Client {
        wire: DuplexStream,
        to: Compressor,
        from: Decompressor,
    }

    impl Client {
        async fn send(&mut self, frame: Frame) {
            let bytes = frame::write(&frame, &mut self.to).unwrap();
            self.wire.write_all(&bytes).await.unwrap();
        }

        async fn open(&mut self, stream: u32, kind: &str, port: u16) {
            let header = |name: &str, value: String| (name.to_owned(), value);
            let headers = Headers::from([
                header("streamtype", kind.to_owned()),
                header("port", port.to_string()),
                header("requestid", "0".to_owned()),
            ]);
            self.send(Frame::Open { stream, headers, fin: false }).await;
        }

        /// What comes on each of two streams until both have ended.
        async fn read(&mut self, streams: [u32; 2]) -> [String; 2] {
            let (mut text, mut ended) = ([String::new(), String::new()], 0);
            while ended < 2 {
                match frame::read(&mut self.wire, &mut self.from).await.unwrap().expect("ends too early") {
                    Frame::Data { stream, data, fin } => {
                        let index = streams.iter().position(|s| *s == stream).unwrap();
                        text[index].push_str(std::str::from_utf8(&data).unwrap());
                        ended += usize::from(fin);
                    }
                    Frame::Ping { id } => assert_eq!(id, 9),
                    _ => {}
                }
            }
            text
        }
    }

    #[tokio::test]
    async fn each_pair_of_streams_is_a_connection() {
        let tasks = Tasks::new();
        let (wire, served) = tokio::io::duplex(4096);
        tasks.spawn("server", run(served, Arc::new(Echo), "s".to_owned(), tasks.clone()));
        let mut client = Client { wire, to: Compressor::new().unwrap(), from: Decompressor::new() };
        client.open(1, "error", 80).await;
        client.open(3, "data", 80).await;
        client.send(Frame::Ping { id: 9 }).await;
        client.send(Frame::Data { stream: 3, data: Bytes::from_static(b"hello"), fin: true }).await;
        assert_eq!(client.read([1, 3]).await, ["", "HELLO"]);
        client.open(5, "error", 81).await;
        client.open(7, "data", 81).await;
        let [error, data] = client.read([5, 7]).await;
        assert_eq!(data, "");
        assert!(
            error.contains("error forwarding port 81") && error.contains("connection refused"),
            "{error}"
        );
        drop(client);
        tokio::time::timeout(std::time::Duration::from_secs(5), tasks.wait()).await.expect("tasks are left");
    }
}
