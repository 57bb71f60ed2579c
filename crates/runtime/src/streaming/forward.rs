//! Port-forward: pairs of SPDY streams, one for data and one for what went wrong.
//!
//! Upstream: kubelet pkg/kubelet/cri streaming/portforward/httpstream.go.

use std::collections::HashMap;
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
            let message =
                format!("error forwarding port {port} to pod {sandbox}, uid : {}", stdx::error_chain(&*why));
            tracing::debug!(message, "port not forwarded");
            error.send(Bytes::from(message)).await;
        }
    }
    error.finish().await;
    data.finish().await;
}

/// Until the pod's side has ended; the client's end alone only closes our writing half.
async fn copy(data: &Stream, connection: Box<dyn Duplex>) {
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
        if !data.was_reset() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = down => {}
        () = up => {}
    }
}
