//! Processes: cloning into new namespaces, joining others, and what a child does to itself before it runs.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// Which side of a [`clone`] returned.
#[derive(Debug)]
pub enum Cloned {
    Child,
    Parent(Pid),
}

/// Copies this process into new namespaces, as fork does; the child's end is told by SIGCHLD.
///
/// # Errors
/// `EBUSY` when this process has more than one thread: the child would inherit locks that nobody releases.
pub fn clone(flags: CloneFlags) -> io::Result<Cloned> {
    if threads()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let args = libc::clone_args {
        flags: flags.bits() as u64,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: `args` is initialized and lives through the call; without CLONE_VM and with no stack the child
    // runs on a copy of this process's memory, as after fork; the process has one thread, so no lock of
    // another thread is held in the copy.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(Pid::from_raw(pid as i32))),
    }
}

fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Ends this process at once: no destructor, no buffer flushed. For children that must not run the parent's code.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from `first` on. Only for a child that never returns into code which owns them.
pub fn close_from(first: i32) -> io::Result<()> {
    // SAFETY: the caller is a child about to run code of its own that uses none of the inherited descriptors;
    // their owners live on stack frames that are never returned to.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    result(done)
}

/// Marks every descriptor from `first` on to be closed by exec.
pub fn close_from_on_exec(first: i32) -> io::Result<()> {
    // SAFETY: setting close-on-exec invalidates no descriptor.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC as libc::c_uint,
        )
    };
    result(done)
}

/// Hides this process from ptrace and /proc readers of the same user.
pub fn set_undumpable() -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes an integer and touches no memory.
    let done = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    result(done.into())
}

/// Kills this process when the thread that made it ends.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes an integer and touches no memory.
    let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    result(done.into())
}

/// Makes `source` also the descriptor number `target` (as dup2), inherited by exec.
pub fn dup_onto(source: BorrowedFd<'_>, target: i32) -> io::Result<()> {
    if source.as_raw_fd() == target {
        return nix::fcntl::fcntl(source, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))
            .map(drop)
            .map_err(io::Error::from);
    }
    // SAFETY: `target` is one of the standard descriptors 0..=2, which no `OwnedFd` of ours owns.
    let done = unsafe { libc::dup2(source.as_raw_fd(), target) };
    result(done.into())
}

/// Brings the loopback interface of the current network namespace up.
pub fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: an all-zero ifreq is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the descriptor is an open socket and `request` is a valid ifreq with a NUL-terminated name.
    let done = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    result(done.into())
}

/// User and group for all three ids and the supplementary groups, in the order that keeps the right to do so.
pub fn set_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().map(|g| nix::unistd::Gid::from_raw(*g)).collect();
    nix::unistd::setgroups(&groups)?;
    let gid = nix::unistd::Gid::from_raw(gid);
    nix::unistd::setresgid(gid, gid, gid)?;
    let uid = nix::unistd::Uid::from_raw(uid);
    Ok(nix::unistd::setresuid(uid, uid, uid)?)
}

fn result(code: libc::c_long) -> io::Result<()> {
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives every signal its default action and blocks none: what a program expects to be started with.
pub fn reset_signals() -> io::Result<()> {
    use nix::sys::signal::{
        SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
    };
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { sigaction(signal, &default) }?;
    }
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Sends any signal, real-time ones included, to one process.
pub fn signal(pid: rustix::process::Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes integers and touches no memory; `pid` is positive, so it is one process.
    let done = unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) };
    result(done.into())
}
