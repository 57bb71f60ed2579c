//! The pause process: holds a pod's namespaces open and, as PID 1 of a shared PID namespace, reaps.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use linux::cgroup::Cgroup;
use linux::process::{self, Cloned};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

use super::child::{Step, StepError, enter_cgroup};
use super::protocol::SandboxSpec;

/// Runs as nobody: no file of the host is its.
const NOBODY: u32 = 65535;

/// Starts the pause process; returns once its namespaces are ready.
pub fn start(spec: &SandboxSpec, cgroup: &Cgroup, dir: &Path) -> Result<Pid, StepError> {
    cgroup.create().step("cannot make the sandbox's cgroup")?;
    let doors = cgroup.doors().step("cannot open the sandbox's cgroup")?;
    let (ours, theirs) = UnixStream::pair().step("cannot make a socket pair")?;
    match process::clone(flags(spec)).step("cannot clone the pause process")? {
        Cloned::Child => {
            drop(ours);
            let code = match prepare(spec, &doors, dir) {
                Ok(()) => hold(theirs),
                Err(error) => report(&theirs, &error),
            };
            process::exit_now(code)
        }
        Cloned::Parent(pid) => {
            drop(theirs);
            match linux::frames::receive(ours.as_fd()).step("cannot hear from the pause process")? {
                None => Ok(pid),
                Some((message, _)) => Err(StepError::Told(String::from_utf8_lossy(&message).into_owned())),
            }
        }
    }
}

fn flags(spec: &SandboxSpec) -> CloneFlags {
    let mut flags = CloneFlags::CLONE_NEWNS;
    if !spec.host_network {
        flags |= CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    }
    if !spec.host_ipc {
        flags |= CloneFlags::CLONE_NEWIPC;
    }
    if spec.pod_pid {
        flags |= CloneFlags::CLONE_NEWPID;
    }
    flags
}

fn prepare(spec: &SandboxSpec, doors: &[fs::File], dir: &Path) -> Result<(), StepError> {
    enter_cgroup(doors)?;
    process::set_undumpable().step("cannot hide the pause process")?;
    if !spec.host_network {
        process::loopback_up().step("cannot bring up the loopback interface")?;
        nix::unistd::sethostname(&spec.hostname).step("cannot set the host name")?;
    }
    for (name, value) in &spec.sysctls {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(&file, value).step(&format!("cannot set sysctl {name}"))?;
    }
    leave_the_host(dir).step("cannot leave the host's file system")
}

/// An empty, read-only root: who reaches this process in a shared PID namespace finds nothing behind /proc/1/root.
fn leave_the_host(dir: &Path) -> io::Result<()> {
    linux::mount::isolate()?;
    let attributes = linux::mount::Attributes { read_only: true, no_suid: true, no_dev: true, no_exec: true };
    let root =
        linux::mount::new_filesystem("tmpfs", "pause", &[("size", "4k"), ("mode", "0555")], attributes)?;
    linux::mount::attach(root.as_fd(), dir)?;
    linux::mount::enter_root(dir)
}

/// Closing the socket says that all is ready; from here on nothing but signals matters.
fn hold(ready: UnixStream) -> i32 {
    let signals = SigSet::all();
    let quiet = signals
        .thread_block()
        .map_err(io::Error::from)
        .and_then(|()| rustix::thread::set_name(c"pause").map_err(io::Error::from))
        .and_then(|()| process::set_user(NOBODY, NOBODY, &[]))
        .and_then(|()| rustix::thread::set_no_new_privs(true).map_err(io::Error::from));
    if let Err(error) = quiet {
        return report(
            &ready,
            &StepError::Failed { step: "cannot give up rights".to_owned(), source: error },
        );
    }
    // The socket is closed with all the rest; `ready` is never dropped, as this function ends in _exit.
    std::mem::forget(ready);
    if process::close_from(0).is_err() {
        return 1;
    }
    loop {
        match signals.wait() {
            Ok(Signal::SIGTERM | Signal::SIGINT) => return 0,
            Ok(Signal::SIGCHLD) => reap(),
            Ok(_) => {}
            Err(_) => return 1,
        }
    }
}

fn reap() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
    {
    }
}

fn report(socket: &UnixStream, error: &StepError) -> i32 {
    // With the parent gone there is nobody to tell; the exit code remains.
    let _ = linux::frames::send(socket.as_fd(), stdx::error_chain(error).as_bytes(), &[]);
    1
}
