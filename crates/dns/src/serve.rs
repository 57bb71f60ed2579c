//! The sockets: datagrams and streams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stdx::{Shutdown, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::listen::Bound;
use crate::resolver::{Now, Resolver};
use crate::wire::packed::Transport;

/// Questions for other servers at once (CoreDNS, as kubeadm sets it up: 1000).
const FORWARDS: usize = 1000;
const CONNECTIONS: usize = 1000;
/// How long a stream may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Whoever listens on a datagram socket at once; more than the cores only wait for each other.
const MOST_WORKERS: usize = 8;

#[derive(Clone)]
struct Service {
    resolver: Arc<Resolver>,
    forwards: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    tasks: Tasks,
    shutdown: Shutdown,
}

pub(crate) fn start(bound: Bound, resolver: Arc<Resolver>, tasks: &Tasks, shutdown: &Shutdown) {
    let (udp, tcp) = bound.into_parts();
    let service = Service {
        resolver,
        forwards: Arc::new(Semaphore::new(FORWARDS)),
        connections: Arc::new(Semaphore::new(CONNECTIONS)),
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
    };
    let udp = Arc::new(udp);
    // Unknown is one.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores.min(MOST_WORKERS) {
        let worker = service.clone().datagrams(udp.clone());
        service.until_shutdown("dns datagrams", worker);
    }
    service.until_shutdown("dns streams", service.clone().streams(tcp));
}

impl Service {
    fn until_shutdown(&self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = part => {}
            }
        });
    }

    async fn datagrams(self, socket: Arc<UdpSocket>) {
        let mut room = [0; 4096];
        loop {
            // An error here is an earlier answer that its client did not want any more.
            let Ok((len, from)) = socket.recv_from(&mut room).await else { continue };
            let message = &room[..len];
            match self.resolver.answer_now(message, Transport::Udp) {
                Now::Send(answer) => send(&socket, &answer, from).await,
                Now::Later => self.later(&socket, message, from).await,
                Now::Ignore => {}
            }
        }
    }

    async fn later(&self, socket: &Arc<UdpSocket>, message: &[u8], from: SocketAddr) {
        let Ok(permit) = self.forwards.clone().try_acquire_owned() else {
            if let Some(answer) = self.resolver.refuse(message, Transport::Udp) {
                send(socket, &answer, from).await;
            }
            return;
        };
        let (resolver, socket, message) = (self.resolver.clone(), socket.clone(), message.to_vec());
        self.until_shutdown("dns forward", async move {
            if let Some(answer) = resolver.answer(&message, Transport::Udp).await {
                send(&socket, &answer, from).await;
            }
            drop(permit);
        });
    }

    async fn streams(self, listener: TcpListener) {
        loop {
            let Ok(permit) = self.connections.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let resolver = self.resolver.clone();
                    self.until_shutdown("dns stream", async move {
                        // A client that goes away in the middle is no event.
                        let _ = converse(stream, &resolver).await;
                        drop(permit);
                    });
                }
                // Out of descriptors: somebody has to close one first.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(answer, to).await {
        tracing::debug!(%error, %to, "cannot send an answer");
    }
}

async fn converse(mut stream: TcpStream, resolver: &Resolver) -> io::Result<()> {
    loop {
        let message = tokio::time::timeout(IDLE, read(&mut stream)).await??;
        let answer = match resolver.answer_now(&message, Transport::Tcp) {
            Now::Send(answer) => Some(answer),
            Now::Later => resolver.answer(&message, Transport::Tcp).await,
            Now::Ignore => return Ok(()),
        };
        let Some(answer) = answer else { return Ok(()) };
        stream.write_all(&[&(answer.len() as u16).to_be_bytes(), &answer[..]].concat()).await?;
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u16().await?;
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
