//! What the streaming server asks of the runtime: processes with open streams, and connections into a sandbox.

use std::pin::Pin;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type BoxRead = Pin<Box<dyn AsyncRead + Send>>;
pub type BoxWrite = Pin<Box<dyn AsyncWrite + Send>>;

/// A connection that is read and written, such as one to a port of a pod.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The streams that a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// A running process, or one attached to. The output ends when the process has closed it; `exit` may resolve
/// earlier or later than that.
pub struct Process {
    pub stdin: Option<BoxWrite>,
    pub stdout: Option<BoxRead>,
    pub stderr: Option<BoxRead>,
    /// Columns and rows of the client's terminal.
    pub resize: mpsc::Sender<(u16, u16)>,
    pub exit: BoxFuture<'static, Result<i32, BoxError>>,
}

#[async_trait]
pub trait Backend: Send + Sync + 'static {
    async fn exec(&self, container: &str, command: &[String], wants: Wants) -> Result<Process, BoxError>;

    async fn attach(&self, container: &str, wants: Wants) -> Result<Process, BoxError>;

    async fn port_forward(&self, sandbox: &str, port: u16) -> Result<Box<dyn Duplex>, BoxError>;
}
