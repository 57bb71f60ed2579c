//! The shim's event loop: signals, requests, streams; one poll, one match.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use linux::cgroup::Hierarchies;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use stdx::Clock;

use super::container::Container;
use super::launch::Pod;
use super::protocol::{Event, Reply, SandboxSpec};

/// Everything that a shim holds.
pub struct Server {
    pub(super) spec: SandboxSpec,
    pub(super) hierarchies: Arc<Hierarchies>,
    pub(super) clock: Clock,
    pub(super) pause: Option<Pid>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) execs: BTreeMap<i32, Exec>,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) stopping: bool,
    listener: UnixListener,
    signals: SignalFd,
    next_connection: u64,
}

/// A further process, and who waits for its end.
pub(super) struct Exec {
    pub connection: u64,
}

pub(super) struct Connection {
    pub socket: UnixStream,
    /// Told of every end.
    pub watches: bool,
}

/// What became ready.
enum Ready {
    Signals,
    Listener,
    Connection(u64),
    Output { id: String, index: usize },
    Input { id: String },
    Client { id: String, index: usize },
    Sink { id: String, index: usize },
}

impl Server {
    pub fn new(
        spec: SandboxSpec,
        hierarchies: Arc<Hierarchies>,
        listener: UnixListener,
        signals: SignalFd,
        pause: Pid,
    ) -> Self {
        Self {
            spec,
            hierarchies,
            clock: Clock::system(),
            pause: Some(pause),
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            connections: BTreeMap::new(),
            stopping: false,
            listener,
            signals,
            next_connection: 0,
        }
    }

    pub fn pause_pid(&self) -> i32 {
        self.pause.map_or(0, Pid::as_raw)
    }

    pub(super) fn pod(&self) -> Option<Pod<'_>> {
        let (host_network, host_ipc) = (self.spec.host_network, self.spec.host_ipc);
        Some(Pod { pause: self.pause?, host_network, host_ipc, hierarchies: &self.hierarchies })
    }

    /// Serves until told to shut down; answers the exit code.
    pub fn run(&mut self) -> i32 {
        while !self.stopping {
            for ready in self.wait() {
                self.handle(ready);
            }
        }
        0
    }

    fn wait<'a>(&'a self) -> Vec<Ready> {
        let (mut fds, mut meanings) = (Vec::new(), Vec::new());
        let mut add = |fd: BorrowedFd<'a>, flags, meaning| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            meanings.push(meaning);
        };
        add(self.signals.as_fd(), PollFlags::IN, Ready::Signals);
        add(self.listener.as_fd(), PollFlags::IN, Ready::Listener);
        for (number, connection) in &self.connections {
            add(connection.socket.as_fd(), PollFlags::IN, Ready::Connection(*number));
        }
        for (id, container) in &self.containers {
            let streams = &container.streams;
            for (index, output) in streams.outputs.iter().enumerate() {
                add(output.source.as_fd(), PollFlags::IN, Ready::Output { id: id.clone(), index });
            }
            if let Some(stdin) = streams.stdin.as_ref().filter(|_| !streams.input.is_empty()) {
                add(stdin.as_fd(), PollFlags::OUT, Ready::Input { id: id.clone() });
            }
            for (index, client) in streams.attached.iter().enumerate() {
                // Input is taken only when the container took what came before.
                if let Some(stdin) = client.stdin.as_ref().filter(|_| streams.input.is_empty()) {
                    add(stdin.as_fd(), PollFlags::IN, Ready::Client { id: id.clone(), index });
                }
                for sink in [&client.stdout, &client.stderr].into_iter().flatten() {
                    if !sink.waiting.is_empty() {
                        add(sink.target.as_fd(), PollFlags::OUT, Ready::Sink { id: id.clone(), index });
                    }
                }
            }
        }
        // An interrupted wait has nothing ready: the loop comes back.
        let _ = poll(&mut fds, None);
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        meanings.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(meaning, _)| meaning).collect()
    }

    fn handle(&mut self, ready: Ready) {
        match ready {
            Ready::Signals => self.take_signals(),
            Ready::Listener => self.accept(),
            Ready::Connection(number) => self.read_request(number),
            Ready::Output { id, index } => self.pump(&id, index),
            Ready::Input { id } => self.streams(&id, |streams| streams.push_input()),
            Ready::Client { id, index } => self.streams(&id, |streams| {
                if index < streams.attached.len() {
                    streams.feed(index);
                }
            }),
            Ready::Sink { id, index } => self.streams(&id, |streams| {
                if let Some(client) = streams.attached.get_mut(index) {
                    client.stdout = client.stdout.take().and_then(flushed);
                    client.stderr = client.stderr.take().and_then(flushed);
                }
            }),
        }
    }

    fn streams(&mut self, id: &str, with: impl FnOnce(&mut super::streams::Streams)) {
        if let Some(container) = self.containers.get_mut(id) {
            with(&mut container.streams);
        }
    }

    /// A stream at its end stays in the list until the next wait, under the same index.
    fn pump(&mut self, id: &str, index: usize) {
        let now = self.clock.now();
        self.streams(id, |streams| {
            if index < streams.outputs.len() && !streams.pump(index, now) {
                streams.outputs.remove(index);
            }
        });
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            self.next_connection += 1;
            self.connections.insert(self.next_connection, Connection { socket, watches: false });
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) => self.reap(),
                Ok(signal) => tracing::info!(%signal, "ignored: a shim ends with its pod"),
                Err(error) => tracing::warn!(%error, "unknown signal"),
            }
        }
    }

    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    pub(super) fn ended(&mut self, pid: Pid, code: i32) {
        if self.pause == Some(pid) {
            self.pause = None;
            return self.tell(&Event::SandboxExited);
        }
        if let Some(exec) = self.execs.remove(&pid.as_raw()) {
            return self.finish(exec.connection, &Reply::Exited { code });
        }
        let now = self.clock.now();
        let Some(container) = self.containers.values_mut().find(|c| c.pid == pid && c.is_running()) else {
            return;
        };
        let exit = container.ended(code, now);
        let id = container.spec.id.clone();
        self.tell(&Event::ContainerExited { id, exit });
    }

    /// Tells every watcher; one that is gone or full is dropped and will ask for a snapshot again.
    fn tell(&mut self, event: &Event) {
        let watchers: Vec<u64> =
            self.connections.iter().filter(|(_, c)| c.watches).map(|(n, _)| *n).collect();
        for watcher in watchers {
            if !self.send(watcher, &Reply::Event(event.clone()), &[]) {
                self.close(watcher);
            }
        }
    }

    fn finish(&mut self, connection: u64, reply: &Reply) {
        self.send(connection, reply, &[]);
        self.close(connection);
    }

    pub(super) fn send(&self, connection: u64, reply: &Reply, fds: &[BorrowedFd<'_>]) -> bool {
        let Some(connection) = self.connections.get(&connection) else { return false };
        let Ok(body) = serde_json::to_vec(reply) else { return false };
        linux::frames::send(connection.socket.as_fd(), &body, fds).is_ok()
    }

    /// The end of a connection is the end of what it asked for: its process is killed, its client detached.
    pub(super) fn close(&mut self, number: u64) {
        self.connections.remove(&number);
        for (pid, _) in self.execs.iter().filter(|(_, exec)| exec.connection == number) {
            // It may have ended at this very moment; then there is nothing to kill.
            let _ = nix::sys::signal::kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        for container in self.containers.values_mut() {
            container.streams.detach(number);
        }
    }
}

fn flushed(mut sink: super::streams::Sink) -> Option<super::streams::Sink> {
    sink.flush().then_some(sink)
}
