//! Starting containers and further processes in them: the parent's half, and the way of the child to exec.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use linux::cgroup::{Cgroup, Hierarchies};
use linux::process::{self, Cloned};
use linux::seccomp::{self, Filters};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Pid;

use super::child::{self, Message, Stdio, Step, StepError};
use super::protocol::{ContainerSpec, PidMode, Process, User};
use super::rootfs;

/// A started process.
#[derive(Debug)]
pub struct Launched {
    pub pid: Pid,
    pub user: User,
    /// The terminal, where one was asked for.
    pub master: Option<OwnedFd>,
}

/// The pod as containers see it.
pub struct Pod<'a> {
    pub pause: Pid,
    pub host_network: bool,
    pub host_ipc: bool,
    pub hierarchies: &'a Arc<Hierarchies>,
}

/// Starts a container's first process. `stdio` is empty for a terminal.
pub fn container(
    spec: &ContainerSpec,
    pod: &Pod<'_>,
    target: Option<Pid>,
    stdio: Option<[OwnedFd; 3]>,
) -> Result<Launched, StepError> {
    let cgroup = Cgroup::new(pod.hierarchies.clone(), &spec.cgroup);
    cgroup.create().step("cannot make the cgroup")?;
    cgroup.apply(&(&spec.resources).into()).step("cannot limit resources")?;
    if !spec.privileged {
        cgroup.restrict_devices(&device_rules(spec)).step("cannot restrict devices")?;
    }
    let doors = cgroup.doors().step("cannot open the cgroup")?;
    let filters = filters(&spec.process)?;
    let namespaces = pod_namespaces(pod)?;
    let (flags, pid_namespace) = match &spec.pid {
        PidMode::Own => (CloneFlags::CLONE_NEWPID, None),
        PidMode::Host => (CloneFlags::empty(), None),
        PidMode::Pod => (CloneFlags::empty(), Some(pod.pause)),
        PidMode::Container(_) => (CloneFlags::empty(), target),
    };
    let body = |parent: &UnixStream| {
        child::set_oom_score(spec.process.oom_score_adj);
        let stdio = stdio.map_or(Stdio::Console, Stdio::Files);
        let entered = enter_container(spec, &doors, &namespaces, pod.hierarchies);
        match entered {
            Ok(()) => child::run(&spec.process, filters.as_ref(), parent, stdio),
            Err(error) => error,
        }
    };
    in_pid_namespace(pid_namespace, || spawn(flags, body))
}

fn enter_container(
    spec: &ContainerSpec,
    doors: &[File],
    namespaces: &[OwnedFd],
    hierarchies: &Hierarchies,
) -> Result<(), StepError> {
    child::enter_cgroup(doors)?;
    let taken = rootfs::take(spec)?;
    unshare(CloneFlags::CLONE_NEWCGROUP).step("cannot make a cgroup namespace")?;
    for namespace in namespaces {
        setns(namespace, CloneFlags::empty()).step("cannot join the pod's namespaces")?;
    }
    unshare(CloneFlags::CLONE_NEWNS).step("cannot make a mount namespace")?;
    rootfs::enter(taken, spec, hierarchies)
}

/// Starts a further process in the container whose first process is `init`.
pub fn exec(
    spec: &Process,
    init: Pid,
    cgroup: &Cgroup,
    stdio: Option<[OwnedFd; 3]>,
) -> Result<Launched, StepError> {
    let doors = cgroup.doors().step("cannot open the cgroup")?;
    let filters = filters(spec)?;
    let pid = rustix::process::Pid::from_raw(init.as_raw()).ok_or(io::Error::from(io::ErrorKind::NotFound));
    let pid = pid.step("the container has no process")?;
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let handle = handle.step("cannot find the container's process")?;
    let join = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    let body = |parent: &UnixStream| {
        child::set_oom_score(spec.oom_score_adj);
        let entered = child::enter_cgroup(&doors)
            .and_then(|()| setns(&handle, join).step("cannot join the container's namespaces"));
        let stdio = stdio.map_or(Stdio::Terminal, Stdio::Files);
        match entered {
            Ok(()) => child::run(spec, filters.as_ref(), parent, stdio),
            Err(error) => error,
        }
    };
    in_pid_namespace(Some(init), || spawn(CloneFlags::empty(), body))
}

/// Clones; the child runs `body` to its exec, the parent waits for that.
fn spawn(flags: CloneFlags, body: impl FnOnce(&UnixStream) -> StepError) -> Result<Launched, StepError> {
    let (ours, theirs) = UnixStream::pair().step("cannot make a socket pair")?;
    match process::clone(flags).step("cannot clone")? {
        Cloned::Child => {
            drop(ours);
            let error = body(&theirs);
            let message = Message::Failed { message: stdx::error_chain(&error) };
            if let Ok(message) = serde_json::to_vec(&message) {
                // With the shim gone there is nobody to tell; the exit code remains.
                let _ = linux::frames::send(theirs.as_fd(), &message, &[]);
            }
            process::exit_now(1)
        }
        Cloned::Parent(pid) => {
            drop(theirs);
            await_exec(&ours, pid)
        }
    }
}

/// exec closes the child's socket: the end of the stream without a complaint is success.
fn await_exec(socket: &UnixStream, pid: Pid) -> Result<Launched, StepError> {
    let mut launched = None;
    while let Some((body, fds)) = linux::frames::receive(socket.as_fd()).step("cannot hear from the child")? {
        match serde_json::from_slice(&body).map_err(io::Error::other).step("cannot understand the child")? {
            Message::Ready { user } => {
                launched = Some(Launched { pid, user, master: fds.into_iter().next() })
            }
            Message::Failed { message } => {
                reap(pid);
                return Err(StepError::Told(message));
            }
        }
    }
    launched.ok_or_else(|| {
        reap(pid);
        StepError::Told("the process ended before it could start".to_owned())
    })
}

fn reap(pid: Pid) {
    // Only the status is lost, and that of a process which never became the program says nothing.
    let _ = nix::sys::wait::waitpid(pid, None);
}

/// Children cloned inside `call` are born into the PID namespace of `of`.
fn in_pid_namespace<T>(of: Option<Pid>, call: impl FnOnce() -> Result<T, StepError>) -> Result<T, StepError> {
    let Some(of) = of else { return call() };
    let own = File::open("/proc/self/ns/pid").step("cannot open the own PID namespace")?;
    let theirs = File::open(format!("/proc/{of}/ns/pid")).step("cannot open the PID namespace")?;
    setns(&theirs, CloneFlags::CLONE_NEWPID).step("cannot join the PID namespace")?;
    let result = call();
    setns(&own, CloneFlags::CLONE_NEWPID).step("cannot return from the PID namespace")?;
    result
}

fn pod_namespaces(pod: &Pod<'_>) -> Result<Vec<OwnedFd>, StepError> {
    let mut names = Vec::new();
    if !pod.host_network {
        names.extend(["net", "uts"]);
    }
    if !pod.host_ipc {
        names.push("ipc");
    }
    let open = |name| File::open(format!("/proc/{}/ns/{name}", pod.pause)).map(OwnedFd::from);
    names.into_iter().map(open).collect::<io::Result<_>>().step("cannot open the pod's namespaces")
}

fn filters(process: &Process) -> Result<Option<Filters>, StepError> {
    if !process.seccomp {
        return Ok(None);
    }
    let profile = seccomp::default_profile(child::parse(&process.capabilities));
    profile.map(Some).map_err(io::Error::other).step("cannot compile the system call filter")
}

/// Rules of the version 1 devices controller for the devices asked for.
fn device_rules(spec: &ContainerSpec) -> Vec<String> {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let rule = |device: &super::protocol::Device| {
        // A device that is not there is refused later, by name.
        let meta = std::fs::metadata(&device.host_path).ok()?;
        let kind = if meta.file_type().is_block_device() { 'b' } else { 'c' };
        let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
        let permissions = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        Some(format!("{kind} {major}:{minor} {permissions}"))
    };
    spec.devices.iter().filter_map(rule).collect()
}
