//! Processes in running containers: started through the shim, their streams in our hands.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use cri::v1;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;

use crate::error::Error;
use crate::link::Replies;
use crate::node::Node;
use crate::shim::protocol::{Reply, Request};
use crate::streaming::Wants;

/// What a caller of ExecSync gets at most of each stream; the rest is read and dropped.
const MOST_OUTPUT: usize = 16 << 20;
/// How long a process's heirs may keep its streams open after its end.
const HEIRS: Duration = Duration::from_secs(2);

/// A started process.
pub(crate) struct Running {
    replies: Replies,
    /// The terminal, for a process that has one.
    pub terminal: Option<OwnedFd>,
}

/// Our ends of a process's streams.
pub(crate) struct Pipes {
    pub stdin: Option<pipe::Sender>,
    pub stdout: Option<pipe::Receiver>,
    pub stderr: Option<pipe::Receiver>,
}

impl Running {
    /// Waits for the end; the exit code, or `None` when the shim is gone. Dropping it kills the process.
    pub async fn wait(&mut self) -> Option<i32> {
        loop {
            match self.replies.next().await? {
                Reply::Exited { code } => return Some(code),
                other => tracing::debug!(?other, "unexpected word of a shim"),
            }
        }
    }
}

impl Node {
    /// Starts `command` in a running container with pipes for streams.
    pub(crate) async fn exec_piped(
        &self,
        id: &str,
        command: &[String],
        wants: Wants,
    ) -> Result<(Running, Pipes), Error> {
        let (pipes, theirs) = make_pipes(wants).map_err(Error::io("cannot make pipes"))?;
        Ok((self.exec(id, command, false, theirs.into()).await?, pipes))
    }

    /// Starts `command` in a running container; with a terminal there are no streams to give.
    pub(crate) async fn exec(
        &self,
        id: &str,
        command: &[String],
        tty: bool,
        fds: Vec<OwnedFd>,
    ) -> Result<Running, Error> {
        let container = self.running(id)?;
        let mut process = container.spec.process;
        process.args = command.to_vec();
        if tty && !process.env.iter().any(|env| env.starts_with("TERM=")) {
            process.env.push("TERM=xterm".to_owned());
        }
        process.tty = tty;
        let request = Request::Exec { id: container.id, process: Box::new(process) };
        let answer = self.link(&container.sandbox_id).ask(request, fds).await?;
        Ok(Running { replies: Replies::new(answer.connection)?, terminal: answer.fds.into_iter().next() })
    }

    pub(crate) async fn exec_sync(
        &self,
        request: &v1::ExecSyncRequest,
    ) -> Result<v1::ExecSyncResponse, Error> {
        if request.cmd.is_empty() {
            return Err(Error::Invalid("exec command is empty".to_owned()));
        }
        let wants = Wants { stdout: true, stderr: true, ..Wants::default() };
        let (running, pipes) = self.exec_piped(&request.container_id, &request.cmd, wants).await?;
        let collected = collect(running, pipes);
        match u64::try_from(request.timeout) {
            Ok(seconds @ 1..) => tokio::select! {
                done = collected => done,
                // Dropping the line kills the process.
                () = self.config.clock.sleep(Duration::from_secs(seconds)) => Err(Error::Timeout("exec")),
            },
            _ => collected.await,
        }
    }
}

async fn collect(mut running: Running, pipes: Pipes) -> Result<v1::ExecSyncResponse, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let exit_code = {
        let outputs = async {
            tokio::join!(read_most(pipes.stdout, &mut stdout), read_most(pipes.stderr, &mut stderr))
        };
        tokio::pin!(outputs);
        let mut read = false;
        let code = loop {
            tokio::select! {
                _ = &mut outputs, if !read => read = true,
                code = running.wait() => break code,
            }
        };
        if !read {
            // Heirs that keep the streams open are not waited for any longer.
            let _ = tokio::time::timeout(HEIRS, &mut outputs).await;
        }
        code.ok_or(Error::Shim(crate::link::Error::Lost(io::ErrorKind::UnexpectedEof.into())))?
    };
    Ok(v1::ExecSyncResponse { stdout, stderr, exit_code })
}

async fn read_most(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0u8; 32 << 10];
    // The end of a pipe, however it comes, is the end of the output.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = MOST_OUTPUT - into.len();
        into.extend_from_slice(&buffer[..count.min(room)]);
    }
}

/// Our ends and the process's ends; what is not wanted leads nowhere.
fn make_pipes(wants: Wants) -> io::Result<(Pipes, [OwnedFd; 3])> {
    let (input, stdin) = if wants.stdin {
        let (reader, writer) = io::pipe()?;
        (reader.into(), Some(sender(writer.into())?))
    } else {
        (std::fs::File::open("/dev/null")?.into(), None)
    };
    let (stdout, output) = open_output(wants.stdout)?;
    let (stderr, errors) = open_output(wants.stderr)?;
    Ok((Pipes { stdin, stdout, stderr }, [input, output, errors]))
}

fn open_output(wanted: bool) -> io::Result<(Option<pipe::Receiver>, OwnedFd)> {
    if !wanted {
        return Ok((None, std::fs::File::options().write(true).open("/dev/null")?.into()));
    }
    let (reader, writer) = io::pipe()?;
    Ok((Some(receiver(reader.into())?), writer.into()))
}

/// The writing end of a pipe for async code.
pub(crate) fn sender(fd: OwnedFd) -> io::Result<pipe::Sender> {
    pipe::Sender::from_owned_fd(fd)
}

/// The reading end of a pipe for async code.
pub(crate) fn receiver(fd: OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(fd)
}
