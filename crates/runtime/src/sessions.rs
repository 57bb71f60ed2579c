//! What the streaming server is given: processes with open streams, and connections into a sandbox.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::exec::{Pipes, Running, receiver, sender};
use crate::link::Link;
use crate::node::Node;
use crate::record::State;
use crate::shim::protocol::Request;
use crate::streaming::{Backend, BoxError, BoxRead, BoxWrite, Duplex, Process, Wants};
use crate::terminal::Terminal;

/// Sizes that may wait for the terminal: only the last one matters.
const SIZES: usize = 4;

#[async_trait]
impl Backend for Node {
    async fn exec(&self, container: &str, command: &[String], wants: Wants) -> Result<Process, BoxError> {
        if wants.tty {
            let running = Node::exec(self, container, command, true, Vec::new()).await?;
            return Ok(self.on_terminal(running, wants)?);
        }
        let (running, pipes) = self.exec_piped(container, command, wants).await?;
        Ok(on_pipes(running, pipes))
    }

    async fn attach(&self, container: &str, wants: Wants) -> Result<Process, BoxError> {
        let container = self.running(container)?;
        let tty = container.config.tty;
        let wanted = Ends {
            stdin: wants.stdin && container.config.stdin,
            stdout: wants.stdout,
            stderr: wants.stderr && !tty,
        };
        let (ours, theirs) = wanted.open()?;
        let Ends { stdin, stdout, stderr } = wanted;
        let request = Request::Attach { id: container.id.clone(), stdin, stdout, stderr };
        let link = self.link(&container.sandbox_id);
        let line = link.ask(request, theirs).await?.connection;
        let (resize, sizes) = mpsc::channel(SIZES);
        if tty {
            self.tasks.spawn("terminal size", resize_container(link, container.id.clone(), sizes));
        }
        let node = self.clone();
        let exit = async move {
            // The end of the line is the end of the attachment.
            let _line = line;
            node.exit_code(&container.id).await
        };
        Ok(Process {
            stdin: ours.stdin,
            stdout: ours.stdout,
            stderr: ours.stderr,
            resize,
            exit: exit.boxed(),
        })
    }

    async fn port_forward(&self, sandbox: &str, port: u16) -> Result<Box<dyn Duplex>, BoxError> {
        let sandbox = self.sandbox(sandbox)?;
        let link = self.link(&sandbox.id);
        let v4 = match connect(&link, Ipv4Addr::LOCALHOST.into(), port).await {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => error,
        };
        match connect(&link, Ipv6Addr::LOCALHOST.into(), port).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(v6) => Err(Unreachable { port, sandbox: sandbox.id, v4, v6 }.into()),
        }
    }
}

/// Upstream: containerd internal/cri/server/sandbox_portforward_linux.go.
#[derive(Debug, thiserror::Error)]
#[error("failed to connect to localhost:{port} inside namespace {sandbox:?}, IPv4: {v4} IPv6 {v6}")]
struct Unreachable {
    port: u16,
    sandbox: String,
    v4: io::Error,
    v6: io::Error,
}

/// By a socket that was made in the pod's network namespace.
async fn connect(link: &Link, ip: IpAddr, port: u16) -> io::Result<tokio::net::TcpStream> {
    let answer =
        link.ask(Request::Socket { ipv6: ip.is_ipv6() }, Vec::new()).await.map_err(io::Error::other)?;
    let socket = answer.fds.into_iter().next().ok_or_else(|| io::Error::other("the shim gave no socket"))?;
    TcpSocket::from_std_stream(TcpStream::from(socket)).connect(SocketAddr::new(ip, port)).await
}

fn on_pipes(running: Running, pipes: Pipes) -> Process {
    let (resize, _) = mpsc::channel(SIZES);
    let boxed = |reader: Option<tokio::net::unix::pipe::Receiver>| reader.map(|r| Box::pin(r) as BoxRead);
    Process {
        stdin: pipes.stdin.map(|writer| Box::pin(writer) as BoxWrite),
        stdout: boxed(pipes.stdout),
        stderr: boxed(pipes.stderr),
        resize,
        exit: exit(running).boxed(),
    }
}

async fn exit(mut running: Running) -> Result<i32, BoxError> {
    running.wait().await.ok_or_else(|| "the pod's shim is gone".into())
}

async fn resize_container(link: Link, id: String, mut sizes: mpsc::Receiver<(u16, u16)>) {
    while let Some((columns, rows)) = sizes.recv().await {
        if let Err(error) = link.tell(Request::Resize { id: id.clone(), rows, columns }).await {
            tracing::debug!(container = id, error = stdx::error_chain(&error), "terminal not resized");
        }
    }
}

async fn resize_terminal(terminal: Arc<Terminal>, mut sizes: mpsc::Receiver<(u16, u16)>) {
    while let Some((columns, rows)) = sizes.recv().await {
        if let Err(error) = terminal.resize(columns, rows) {
            tracing::debug!(%error, "terminal not resized");
        }
    }
}

impl Node {
    fn on_terminal(&self, mut running: Running, wants: Wants) -> Result<Process, Error> {
        let master = running.terminal.take().ok_or(Error::Invalid("the shim gave no terminal".to_owned()))?;
        let terminal = Arc::new(Terminal::new(master).map_err(Error::io("cannot use the terminal"))?);
        let (resize, sizes) = mpsc::channel(SIZES);
        self.tasks.spawn("terminal size", resize_terminal(terminal.clone(), sizes));
        Ok(Process {
            stdin: wants.stdin.then(|| Box::pin(terminal.stream()) as BoxWrite),
            stdout: Some(Box::pin(terminal.stream())),
            stderr: None,
            resize,
            exit: exit(running).boxed(),
        })
    }

    async fn exit_code(&self, id: &str) -> Result<i32, BoxError> {
        self.until(|| !self.container(id).is_ok_and(|c| c.is_running())).await;
        match self.container(id).map(|container| container.state) {
            Ok(State::Exited(exit)) => Ok(exit.code),
            _ => Err("the container is gone".into()),
        }
    }
}

/// Which streams an attachment has.
#[derive(Clone, Copy)]
struct Ends {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

#[derive(Default)]
struct Ours {
    stdin: Option<BoxWrite>,
    stdout: Option<BoxRead>,
    stderr: Option<BoxRead>,
}

impl Ends {
    /// Our ends, and the shim's in the order of the flags.
    fn open(self) -> io::Result<(Ours, Vec<OwnedFd>)> {
        let (mut ours, mut theirs) = (Ours::default(), Vec::new());
        if self.stdin {
            let (reader, writer) = io::pipe()?;
            ours.stdin = Some(Box::pin(sender(writer.into())?));
            theirs.push(reader.into());
        }
        for (wanted, slot) in [(self.stdout, &mut ours.stdout), (self.stderr, &mut ours.stderr)] {
            if wanted {
                let (reader, writer) = io::pipe()?;
                *slot = Some(Box::pin(receiver(reader.into())?));
                theirs.push(writer.into());
            }
        }
        Ok((ours, theirs))
    }
}
