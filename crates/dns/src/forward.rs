//! Asks other servers.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use stdx::{Clock, Random};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::upstreams::Upstreams;
use crate::wire::packed::Transport;
use crate::wire::{HEADER, Packed, Query, kind, number};

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Servers asked for one query at most.
const ATTEMPTS: usize = 3;
/// After so many failures in a row a server is asked only when there is no better one.
const DOUBTFUL: u32 = 2;
/// What we take from a server that speaks EDNS.
const PAYLOAD: u16 = 4096;

/// Why no server answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("there is no server to ask")]
    NoServer,
    #[error("{server} does not answer")]
    Silent { server: SocketAddr },
    #[error("cannot ask {server}")]
    Ask { server: SocketAddr, source: io::Error },
}

pub(crate) struct Forwarder {
    upstreams: Upstreams,
    clock: Clock,
    random: Random,
    failures: Mutex<HashMap<SocketAddr, u32>>,
}

impl Forwarder {
    pub fn new(upstreams: Upstreams, clock: Clock, random: Random) -> Self {
        Self { upstreams, clock, random, failures: Mutex::default() }
    }

    /// The first answer of the servers that know the name.
    pub async fn ask(&self, query: &Query<'_>, transport: Transport) -> Result<Packed, ForwardError> {
        let mut last = ForwardError::NoServer;
        for server in self.order(self.upstreams.of(&query.name())) {
            match self.ask_one(server, query, transport).await {
                Ok(answer) => {
                    self.failures.lock().remove(&server);
                    return Ok(answer);
                }
                Err(error) => {
                    *self.failures.lock().entry(server).or_default() += 1;
                    last = error;
                }
            }
        }
        Err(last)
    }

    /// Those that work, one of them first by chance; if none does, one by chance, to see.
    fn order(&self, mut servers: Vec<SocketAddr>) -> Vec<SocketAddr> {
        if servers.is_empty() {
            return servers;
        }
        let first = self.random.below(servers.len() as u64) as usize;
        servers.rotate_left(first);
        let failures = self.failures.lock();
        let works = |server: &SocketAddr| failures.get(server).is_none_or(|count| *count < DOUBTFUL);
        if !servers.iter().any(works) {
            servers.truncate(1);
        }
        servers.sort_by_key(|server| !works(server));
        servers.truncate(ATTEMPTS);
        servers
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        query: &Query<'_>,
        transport: Transport,
    ) -> Result<Packed, ForwardError> {
        let id = self.random.u64() as u16;
        let message = message(id, query);
        let answered = async {
            match transport {
                Transport::Udp => over_udp(server, &message, query).await,
                Transport::Tcp => over_tcp(server, &message, query).await,
            }
        };
        tokio::select! {
            answer = answered => answer.map_err(|source| ForwardError::Ask { server, source }),
            () = self.clock.sleep(PATIENCE) => Err(ForwardError::Silent { server }),
        }
    }
}

/// The client's question under a number of ours.
fn message(id: u16, query: &Query<'_>) -> Vec<u8> {
    const RD: u16 = 0x0100;
    let mut out = Vec::with_capacity(HEADER + query.question.len() + 11);
    out.extend(id.to_be_bytes());
    out.extend((query.flags | RD).to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 0, 0, u8::from(query.edns.is_some())]);
    out.extend(query.question);
    if let Some(edns) = query.edns {
        out.extend([0, 0, kind::OPT as u8]);
        out.extend(PAYLOAD.to_be_bytes());
        out.extend([0, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    out
}

/// A socket of its own for each question: its port is as hard to guess as the number.
async fn over_udp(server: SocketAddr, message: &[u8], query: &Query<'_>) -> io::Result<Packed> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut room = [0; PAYLOAD as usize];
    loop {
        let len = socket.recv(&mut room).await?;
        // What is no answer to this question is somebody's guess, or came too late for an earlier one.
        if number(&room, 0) == number(message, 0)
            && let Some(answer) = Packed::read(&room[..len], query)
        {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, message: &[u8], query: &Query<'_>) -> io::Result<Packed> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&(message.len() as u16).to_be_bytes(), message].concat()).await?;
    let len = stream.read_u16().await?;
    let mut room = vec![0; usize::from(len)];
    stream.read_exact(&mut room).await?;
    let answer = Packed::read(&room, query).filter(|_| number(&room, 0) == number(message, 0));
    answer.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer to the question"))
}
