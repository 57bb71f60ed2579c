//! Port-forward on numbered WebSocket channels, two for each port: data and what went wrong.
//!
//! Upstream: kubelet pkg/kubelet/cri streaming/portforward/websocket.go.

use std::sync::Arc;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::sync::{Mutex, mpsc};
use tokio_tungstenite::tungstenite::Message;

use super::backend::Backend;
use super::forward::{self, Side};
use super::websocket::{Socket, goodbye};

const WAITING: usize = 16;

/// The client's side of one port.
struct Port {
    port: u16,
    number: u8,
    input: Mutex<mpsc::Receiver<Bytes>>,
    output: mpsc::Sender<Message>,
}

impl Port {
    async fn say(&self, channel: u8, data: &[u8]) -> bool {
        self.output.send(Message::binary([&[channel], data].concat())).await.is_ok()
    }

    /// Upstream: both channels start with the number of the port, the low byte first.
    async fn greet(&self) -> bool {
        let port = self.port.to_le_bytes();
        self.say(self.number, &port).await && self.say(self.number + 1, &port).await
    }

    async fn forward(self, backend: Arc<dyn Backend>, sandbox: &str) {
        match backend.port_forward(sandbox, self.port).await {
            Ok(connection) => forward::copy(&self, connection).await,
            Err(why) => {
                let message = forward::failure(self.port, sandbox, &*why);
                self.say(self.number + 1, message.as_bytes()).await;
            }
        }
    }
}

impl Side for Port {
    async fn receive(&self) -> Option<Bytes> {
        self.input.lock().await.recv().await
    }

    async fn send(&self, data: Bytes) -> bool {
        self.say(self.number, &data).await
    }

    /// Channels have no end of their own: they all go with the connection.
    async fn gone(&self) {
        std::future::pending().await
    }
}

/// Serves the ports until all connections have ended, or the client goes.
pub(super) async fn run(socket: Socket, ports: Vec<i32>, backend: Arc<dyn Backend>, sandbox: String) {
    let (mut to_client, mut from_client) = socket.split();
    let (output, mut messages) = mpsc::channel(WAITING);
    let (inputs, ports) = open(&ports, &output);
    drop(output);
    let serve = async {
        for port in &ports {
            port.greet().await;
        }
        futures::future::join_all(ports.into_iter().map(|port| port.forward(backend.clone(), &sandbox)))
            .await;
    };
    let write = async {
        while let Some(message) = messages.recv().await {
            if to_client.send(message).await.is_err() {
                return;
            }
        }
        // The client may have hung up first.
        let _ = to_client.send(goodbye()).await;
    };
    let read = async {
        while let Some(Ok(message)) = from_client.next().await {
            match message {
                Message::Binary(data) => dispatch(&data, &inputs).await,
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    tokio::select! {
        _ = async { tokio::join!(serve, write) } => {}
        () = read => {}
    }
}

fn open(ports: &[i32], output: &mpsc::Sender<Message>) -> (Vec<mpsc::Sender<Bytes>>, Vec<Port>) {
    let numbers = (0..=u8::MAX).step_by(2);
    let ports = ports.iter().filter_map(|port| u16::try_from(*port).ok());
    let open = |(number, port)| {
        let (to_port, input) = mpsc::channel(WAITING);
        (to_port, Port { port, number, input: Mutex::new(input), output: output.clone() })
    };
    numbers.zip(ports).map(open).unzip()
}

async fn dispatch(data: &Bytes, inputs: &[mpsc::Sender<Bytes>]) {
    let Some(channel) = data.first().filter(|channel| *channel % 2 == 0) else { return };
    if let Some(input) = inputs.get(usize::from(channel / 2)) {
        // A connection that has ended takes no more.
        let _ = input.send(data.slice(1..)).await;
    }
}
