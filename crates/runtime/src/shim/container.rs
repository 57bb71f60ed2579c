//! A container as its shim knows it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use linux::cgroup::{Cgroup, Hierarchies};
use nix::unistd::Pid;

use super::child::{Step, StepError};
use super::launch::{self, Pod};
use super::log::{Lines, LogFile, Stream};
use super::protocol::{ContainerSpec, ContainerState, Exit, User};
use super::streams::{Direction, Output, Streams, pipe, set_nonblocking};

/// A running or ended container.
pub struct Container {
    pub spec: ContainerSpec,
    pub pid: Pid,
    pub user: User,
    pub started_at: Timestamp,
    pub exit: Option<Exit>,
    pub streams: Streams,
    pub cgroup: Cgroup,
}

/// Starts `spec`; its log is open before its first byte.
pub fn start(
    spec: ContainerSpec,
    pod: &Pod<'_>,
    target: Option<Pid>,
    now: Timestamp,
) -> Result<Container, StepError> {
    let mut streams =
        Streams { stdin_once: spec.stdin_once, terminal: spec.process.tty, ..Streams::default() };
    if let Some(path) = &spec.log {
        streams.log = Some(LogFile::open(path).step(&format!("cannot open the log {path:?}"))?);
    }
    let stdio =
        if spec.process.tty { None } else { Some(pipes(&spec, &mut streams).step("cannot make pipes")?) };
    let cgroup = Cgroup::new(pod.hierarchies.clone(), &spec.cgroup);
    match launch::container(&spec, pod, target, stdio) {
        Ok(launched) => {
            if let Some(master) = launched.master {
                connect_terminal(master, &spec, &mut streams).step("cannot connect the terminal")?;
            }
            let (pid, user) = (launched.pid, launched.user);
            Ok(Container { spec, pid, user, started_at: now, exit: None, streams, cgroup })
        }
        Err(error) => {
            if let Err(left) = cgroup.remove() {
                tracing::debug!(error = %left, "cgroup of a failed start is left to the sandbox's removal");
            }
            Err(error)
        }
    }
}

/// The container's ends are answered, ours kept.
fn pipes(spec: &ContainerSpec, streams: &mut Streams) -> io::Result<[OwnedFd; 3]> {
    let stdin = if spec.stdin {
        let (ours, theirs) = pipe(Direction::FromUs)?;
        streams.stdin = Some(ours);
        theirs
    } else {
        File::open("/dev/null")?.into()
    };
    let mut output = |stream| -> io::Result<OwnedFd> {
        let (source, theirs) = pipe(Direction::ToUs)?;
        streams.outputs.push(Output { source, lines: Lines::new(stream) });
        Ok(theirs)
    };
    Ok([stdin, output(Stream::Stdout)?, output(Stream::Stderr)?])
}

fn connect_terminal(master: OwnedFd, spec: &ContainerSpec, streams: &mut Streams) -> io::Result<()> {
    set_nonblocking(&master)?;
    if spec.stdin {
        streams.stdin = Some(master.try_clone()?);
    }
    streams.outputs.push(Output { source: master, lines: Lines::new(Stream::Stdout) });
    Ok(())
}

impl Container {
    pub fn is_running(&self) -> bool {
        self.exit.is_none()
    }

    pub fn state(&self) -> ContainerState {
        match &self.exit {
            Some(exit) => ContainerState::Exited(exit.clone()),
            None => ContainerState::Running {
                pid: self.pid.as_raw(),
                started_at: nanoseconds(self.started_at),
                user: self.user.clone(),
            },
        }
    }

    /// The first process has ended: the rest goes, the log is completed, the end is written down.
    pub fn ended(&mut self, code: i32, now: Timestamp) -> Exit {
        if let Err(error) = self.cgroup.kill() {
            tracing::warn!(id = self.spec.id, error = stdx::error_chain(&error), "cgroup not killed");
        }
        self.streams.drain(now);
        let exit = Exit {
            code,
            oom_killed: self.cgroup.oom_kills() > 0,
            started_at: nanoseconds(self.started_at),
            finished_at: nanoseconds(now),
        };
        if let Err(error) = record(&self.spec.exit_file, &exit) {
            tracing::error!(id = self.spec.id, %error, "exit not written down");
        }
        self.exit = Some(exit.clone());
        exit
    }
}

fn record(path: &Path, exit: &Exit) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(exit)?)?;
    fs::rename(&new, path)
}

pub fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

/// The cgroup at `path`.
pub fn cgroup(hierarchies: &Arc<Hierarchies>, path: &str) -> Cgroup {
    Cgroup::new(hierarchies.clone(), path)
}
