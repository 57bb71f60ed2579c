//! A container's streams: into its log, and to and from whoever is attached.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;
use rustix::io::Errno;

use super::log::{Lines, LogFile, Stream};

/// Who is attached and does not read is dropped once this much waits for it.
const MOST_WAITING: usize = 4 << 20;

/// All streams of one container.
#[derive(Default)]
pub struct Streams {
    pub outputs: Vec<Output>,
    /// The write end of standard input, or the terminal's master.
    pub stdin: Option<OwnedFd>,
    pub terminal: bool,
    pub stdin_once: bool,
    pub log: Option<LogFile>,
    pub attached: Vec<Attached>,
    /// Input that the container did not take yet.
    pub input: VecDeque<u8>,
}

/// A stream that the container writes.
pub struct Output {
    pub source: OwnedFd,
    pub lines: Lines,
}

/// A client of the attach call.
pub struct Attached {
    /// The connection that it came by: its end is the client's end.
    pub connection: u64,
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<Sink>,
    pub stderr: Option<Sink>,
}

/// A stream to a client.
pub struct Sink {
    pub target: OwnedFd,
    pub waiting: VecDeque<u8>,
}

impl Sink {
    pub fn new(target: OwnedFd) -> Self {
        Self { target, waiting: VecDeque::new() }
    }

    /// Writes what can be written; false when the client is gone or too slow.
    pub fn flush(&mut self) -> bool {
        write_some(self.target.as_fd(), &mut self.waiting).is_ok() && self.waiting.len() <= MOST_WAITING
    }
}

/// Writes from the front until the pipe is full.
fn write_some(target: BorrowedFd<'_>, data: &mut VecDeque<u8>) -> io::Result<()> {
    while !data.is_empty() {
        match rustix::io::write(target, data.as_slices().0) {
            Ok(count) => drop(data.drain(..count)),
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Streams {
    /// Reads what output `index` has; false when it has ended.
    pub fn pump(&mut self, index: usize, now: Timestamp) -> bool {
        let mut buffer = [0u8; 32 << 10];
        let mut logged = Vec::new();
        let output = &mut self.outputs[index];
        let open = match rustix::io::read(&output.source, &mut buffer[..]) {
            // A terminal whose last user is gone reads as EIO.
            Ok(0) | Err(Errno::IO) => {
                output.lines.finish(now, &mut logged);
                false
            }
            Ok(count) => {
                output.lines.push(&buffer[..count], now, &mut logged);
                let stream = output.lines.stream();
                self.share(stream, &buffer[..count]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(error) => {
                tracing::warn!(%error, "container output lost");
                false
            }
        };
        self.write_log(&logged);
        open
    }

    fn write_log(&mut self, lines: &[u8]) {
        if let Some(Err(error)) = self.log.as_mut().filter(|_| !lines.is_empty()).map(|log| log.write(lines))
        {
            tracing::warn!(%error, "container log not written");
        }
    }

    fn share(&mut self, stream: Stream, data: &[u8]) {
        for client in &mut self.attached {
            let slot = match stream {
                Stream::Stdout => &mut client.stdout,
                Stream::Stderr => &mut client.stderr,
            };
            if let Some(sink) = slot {
                sink.waiting.extend(data);
                if !sink.flush() {
                    *slot = None;
                }
            }
        }
    }

    /// Everything that is still in the pipes; called once all writers of the container are dead.
    pub fn drain(&mut self, now: Timestamp) {
        for index in 0..self.outputs.len() {
            while self.outputs.get(index).is_some_and(|output| readable(&output.source)) {
                if !self.pump(index, now) {
                    break;
                }
            }
            let mut rest = Vec::new();
            self.outputs[index].lines.finish(now, &mut rest);
            self.write_log(&rest);
        }
        self.outputs.clear();
        self.stdin = None;
        self.attached.clear();
    }

    /// Takes input from the attached client `index`.
    pub fn feed(&mut self, index: usize) {
        let mut buffer = [0u8; 32 << 10];
        let client = &mut self.attached[index];
        let Some(source) = &client.stdin else { return };
        match rustix::io::read(source, &mut buffer[..]) {
            Ok(0) => {
                client.stdin = None;
                self.end_input();
            }
            Ok(count) => {
                self.input.extend(&buffer[..count]);
                self.push_input();
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => client.stdin = None,
        }
    }

    /// A client that ends its input ends the container's, where that was asked for.
    fn end_input(&mut self) {
        if self.stdin_once && !self.terminal && self.input.is_empty() {
            self.stdin = None;
        }
    }

    pub fn push_input(&mut self) {
        let Some(target) = &self.stdin else {
            self.input.clear();
            return;
        };
        if write_some(target.as_fd(), &mut self.input).is_err() {
            self.stdin = None;
            self.input.clear();
        }
        if self.input.is_empty() && self.attached.iter().all(|client| client.stdin.is_none()) {
            self.end_input();
        }
    }

    /// Forgets a client.
    pub fn detach(&mut self, connection: u64) {
        self.attached.retain(|client| client.connection != connection);
    }
}

fn readable(fd: &OwnedFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::event::poll(&mut fds, Some(&now)), Ok(1..)) && !fds[0].revents().is_empty()
}

/// A pipe whose ends are closed on exec; `ours` is left not to block.
pub fn pipe(ours_reads: Direction) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (ours, theirs) = match ours_reads {
        Direction::ToUs => (reader, writer),
        Direction::FromUs => (writer, reader),
    };
    set_nonblocking(&ours)?;
    Ok((ours, theirs))
}

#[derive(Clone, Copy, Debug)]
pub enum Direction {
    ToUs,
    FromUs,
}

pub fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)? | rustix::fs::OFlags::NONBLOCK;
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}
