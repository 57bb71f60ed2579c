//! The server's end of the line to a shim.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;

use crate::shim::SOCKET;
use crate::shim::protocol::{Reply, Request};

/// Why a shim did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot reach the shim")]
    Unreachable(#[source] io::Error),
    #[error("lost the shim")]
    Lost(#[source] io::Error),
    #[error("{message}")]
    Refused { message: String },
}

/// A shim by its folder.
#[derive(Clone, Debug)]
pub struct Link {
    folder: PathBuf,
}

/// A reply, the descriptors that came with it, and the connection for what follows.
pub struct Answer {
    pub reply: Reply,
    pub fds: Vec<OwnedFd>,
    pub connection: UnixStream,
}

impl Link {
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Asks and waits for the first reply.
    pub async fn ask(&self, request: Request, fds: Vec<OwnedFd>) -> Result<Answer, Error> {
        let folder = self.folder.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&folder, &request, &fds));
        asked.await.unwrap_or_else(|panic| Err(Error::Lost(io::Error::other(panic))))
    }

    /// Asks for something that is just done.
    pub async fn tell(&self, request: Request) -> Result<(), Error> {
        self.ask(request, Vec::new()).await.map(drop)
    }
}

fn ask(folder: &Path, request: &Request, fds: &[OwnedFd]) -> Result<Answer, Error> {
    let connection = connect(folder).map_err(Error::Unreachable)?;
    let body = serde_json::to_vec(request).map_err(|error| Error::Lost(error.into()))?;
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    linux::frames::send(connection.as_fd(), &body, &borrowed).map_err(Error::Lost)?;
    let received = linux::frames::receive(connection.as_fd()).map_err(Error::Lost)?;
    let (body, fds) = received.ok_or_else(|| Error::Lost(io::ErrorKind::UnexpectedEof.into()))?;
    match serde_json::from_slice(&body).map_err(|error| Error::Lost(error.into()))? {
        Reply::Failed { message } => Err(Error::Refused { message }),
        reply => Ok(Answer { reply, fds, connection }),
    }
}

/// By way of the folder's descriptor: a socket's path has room for 107 bytes only.
fn connect(folder: &Path) -> io::Result<UnixStream> {
    let folder = std::fs::File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

/// What a shim says on a connection that stays open.
pub struct Replies(tokio::net::UnixStream);

impl Replies {
    pub fn new(connection: UnixStream) -> Result<Self, Error> {
        connection.set_nonblocking(true).map_err(Error::Lost)?;
        tokio::net::UnixStream::from_std(connection).map(Self).map_err(Error::Lost)
    }

    /// The next reply; `None` when the shim closed the connection or is gone.
    pub async fn next(&mut self) -> Option<Reply> {
        let mut length = [0u8; 4];
        // Any failure to read is the end of the line, and its meaning is the same.
        self.0.read_exact(&mut length).await.ok()?;
        let mut body = vec![0u8; u32::from_le_bytes(length) as usize];
        self.0.read_exact(&mut body).await.ok()?;
        serde_json::from_slice(&body).ok()
    }
}
