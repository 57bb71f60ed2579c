//! What a shim does when asked.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use linux::cgroup::Cgroup;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::child::{Step, StepError};
use super::protocol::{ContainerSpec, PidMode, Process, Reply, Request};
use super::server::{Exec, Server};
use super::streams::{Attached, Sink, set_nonblocking};
use super::{container, launch};

impl Server {
    /// Reads one request; its connection stays open for those that have more to say.
    pub(super) fn read_request(&mut self, number: u64) {
        let Some(connection) = self.connections.get(&number) else { return };
        match linux::frames::receive(connection.socket.as_fd()) {
            Ok(Some((body, fds))) => match serde_json::from_slice(&body) {
                Ok(request) => self.answer(number, request, fds),
                Err(error) => self.fail(number, format!("cannot understand the request: {error}")),
            },
            Ok(None) => self.close(number),
            Err(error) => {
                tracing::debug!(%error, "connection lost");
                self.close(number);
            }
        }
    }

    fn answer(&mut self, number: u64, request: Request, fds: Vec<OwnedFd>) {
        let done = match request {
            Request::Watch => self.watch(number),
            Request::Start(spec) => self.start(number, *spec),
            Request::Signal { id, signal } => self.signal(number, &id, signal),
            Request::Kill { id } => self.kill(number, &id),
            Request::Exec { id, process } => self.exec(number, &id, &process, fds),
            Request::Attach { id, stdin, stdout, stderr } => {
                self.attach(number, &id, [stdin, stdout, stderr], fds)
            }
            Request::Resize { id, rows, columns } => self.resize(number, &id, rows, columns),
            Request::ReopenLog { id } => self.reopen_log(number, &id),
            Request::Socket { ipv6 } => self.socket(number, ipv6),
            Request::Forget { id } => self.forget(number, &id),
            Request::Shutdown => self.shutdown(number),
        };
        if let Err(error) = done {
            self.fail(number, stdx::error_chain(&error));
        }
    }

    fn fail(&mut self, number: u64, message: String) {
        self.send(number, &Reply::Failed { message }, &[]);
        self.close(number);
    }

    fn done(&mut self, number: u64) -> Result<(), StepError> {
        self.send(number, &Reply::Done, &[]);
        self.close(number);
        Ok(())
    }

    fn watch(&mut self, number: u64) -> Result<(), StepError> {
        let containers = self.containers.iter().map(|(id, c)| (id.clone(), c.state())).collect();
        self.send(number, &Reply::Snapshot { pause: self.pause.map(Pid::as_raw), containers }, &[]);
        if let Some(connection) = self.connections.get_mut(&number) {
            // A server that hangs must not hang us.
            connection.socket.set_nonblocking(true).step("cannot prepare the watch")?;
            connection.watches = true;
        }
        Ok(())
    }

    fn start(&mut self, number: u64, spec: ContainerSpec) -> Result<(), StepError> {
        let id = spec.id.clone();
        let target = match &spec.pid {
            PidMode::Container(target) => Some(self.running(target)?.0),
            _ => None,
        };
        if self.containers.contains_key(&id) {
            return Err(told("the container was started before"));
        }
        let pod = self.pod().ok_or_else(|| told("the sandbox is not ready"))?;
        let started = container::start(spec, &pod, target, self.clock.now())?;
        let reply = Reply::Started { pid: started.pid.as_raw(), user: started.user.clone() };
        self.containers.insert(id, started);
        self.send(number, &reply, &[]);
        self.close(number);
        Ok(())
    }

    /// A running container's first process and cgroup.
    fn running(&self, id: &str) -> Result<(Pid, &Cgroup), StepError> {
        match self.containers.get(id).filter(|container| container.is_running()) {
            Some(container) => Ok((container.pid, &container.cgroup)),
            None => Err(told("the container is not running")),
        }
    }

    fn signal(&mut self, number: u64, id: &str, signal: i32) -> Result<(), StepError> {
        if let Ok((pid, _)) = self.running(id) {
            send_signal(pid, signal).step("cannot send the signal")?;
        }
        self.done(number)
    }

    fn kill(&mut self, number: u64, id: &str) -> Result<(), StepError> {
        if let Ok((pid, cgroup)) = self.running(id) {
            cgroup.kill().step("cannot kill the cgroup")?;
            // Without cgroup.kill a process that just forked may slip through; the first one takes its
            // namespace along.
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.done(number)
    }

    fn exec(&mut self, number: u64, id: &str, process: &Process, fds: Vec<OwnedFd>) -> Result<(), StepError> {
        let (init, cgroup) = self.running(id)?;
        let stdio = if process.tty {
            None
        } else {
            Some(fds.try_into().map_err(|_| told("exec needs three descriptors"))?)
        };
        let launched = launch::exec(process, init, cgroup, stdio)?;
        self.execs.insert(launched.pid.as_raw(), Exec { connection: number });
        let reply = Reply::Started { pid: launched.pid.as_raw(), user: launched.user };
        let master: Vec<_> = launched.master.iter().map(AsFd::as_fd).collect();
        self.send(number, &reply, &master);
        Ok(())
    }

    fn attach(
        &mut self,
        number: u64,
        id: &str,
        wanted: [bool; 3],
        fds: Vec<OwnedFd>,
    ) -> Result<(), StepError> {
        self.running(id)?;
        let mut fds = fds.into_iter();
        let mut next = |wanted: bool| {
            let fd = if wanted { fds.next() } else { None };
            fd.map(|fd| set_nonblocking(&fd).map(|()| fd)).transpose().step("cannot prepare a stream")
        };
        let client = Attached {
            connection: number,
            stdin: next(wanted[0])?,
            stdout: next(wanted[1])?.map(Sink::new),
            stderr: next(wanted[2])?.map(Sink::new),
        };
        if let Some(container) = self.containers.get_mut(id) {
            container.streams.attached.push(client);
        }
        self.send(number, &Reply::Done, &[]);
        Ok(())
    }

    fn resize(&mut self, number: u64, id: &str, rows: u16, columns: u16) -> Result<(), StepError> {
        if let Some(output) = self.containers.get(id).and_then(|c| c.streams.outputs.first()) {
            let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&output.source, size).step("cannot resize the terminal")?;
        }
        self.done(number)
    }

    fn reopen_log(&mut self, number: u64, id: &str) -> Result<(), StepError> {
        self.running(id)?;
        if let Some(log) = self.containers.get_mut(id).and_then(|c| c.streams.log.as_mut()) {
            log.reopen().step("cannot reopen the log")?;
        }
        self.done(number)
    }

    /// A socket belongs to the namespace that it was made in, whoever connects it later.
    fn socket(&mut self, number: u64, ipv6: bool) -> Result<(), StepError> {
        let pause = self.pause.ok_or_else(|| told("the sandbox is not ready"))?;
        let path = |pid: &str| std::path::PathBuf::from(format!("/proc/{pid}/ns/net"));
        let own = std::fs::File::open(path("self")).step("cannot open the own network namespace")?;
        let theirs =
            std::fs::File::open(path(&pause.to_string())).step("cannot open the pod's network namespace")?;
        setns(&theirs, CloneFlags::CLONE_NEWNET).step("cannot enter the pod's network namespace")?;
        let socket = make_socket(ipv6);
        setns(&own, CloneFlags::CLONE_NEWNET).step("cannot leave the pod's network namespace")?;
        let socket = socket.step("cannot make a socket")?;
        self.send(number, &Reply::Done, &[socket.as_fd()]);
        self.close(number);
        Ok(())
    }

    fn forget(&mut self, number: u64, id: &str) -> Result<(), StepError> {
        if self.running(id).is_ok() {
            return Err(told("the container is running"));
        }
        if let Some(container) = self.containers.remove(id) {
            container.cgroup.wait_empty(DEATH);
            container.cgroup.remove().step("cannot remove the cgroup")?;
        }
        self.done(number)
    }

    fn shutdown(&mut self, number: u64) -> Result<(), StepError> {
        let running: Vec<_> = self.containers.values().filter(|c| c.is_running()).map(|c| c.pid).collect();
        for container in self.containers.values() {
            container.cgroup.kill().step("cannot kill a cgroup")?;
        }
        for pid in running.into_iter().chain(self.pause) {
            // Killed with its cgroup already, most likely.
            let _ = kill(pid, Signal::SIGKILL);
            if nix::sys::wait::waitpid(pid, None).is_ok() {
                self.ended(pid, 128 + Signal::SIGKILL as i32);
            }
        }
        for container in self.containers.values() {
            container.cgroup.wait_empty(DEATH);
            container.cgroup.remove().step("cannot remove a cgroup")?;
        }
        let own = container::cgroup(&self.hierarchies, &self.spec.cgroup);
        own.remove().step("cannot remove the sandbox's cgroup")?;
        self.stopping = true;
        self.done(number)
    }
}

/// How long killed processes may take to be gone.
const DEATH: std::time::Duration = std::time::Duration::from_secs(2);

fn told(message: &str) -> StepError {
    StepError::Told(message.to_owned())
}

fn send_signal(pid: Pid, signal: i32) -> io::Result<()> {
    let Some(target) = rustix::process::Pid::from_raw(pid.as_raw()) else { return Ok(()) };
    match linux::process::signal(target, signal) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(()),
        sent => sent,
    }
}

fn make_socket(ipv6: bool) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let family = if ipv6 { AddressFamily::INET6 } else { AddressFamily::INET };
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}
