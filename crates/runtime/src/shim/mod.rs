//! The shim: one small process per pod that holds its namespaces and is the parent of its containers.
//!
//! Single-threaded, no async runtime: only so may it clone. It outlives the server, writes the logs, reaps, and
//! remembers how everything ended; the server connects to its socket and asks. Reading order: [`protocol`],
//! `server` (the event loop), `launch`, `child`, `rootfs`.

mod child;
mod container;
mod launch;
mod log;
mod pause;
pub mod protocol;
mod requests;
mod rootfs;
mod server;
mod streams;
mod user;

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use linux::cgroup::{Cgroup, Hierarchies};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use child::{Step, StepError};
use protocol::{Ready, SandboxSpec};

/// Name of the shim's socket in its folder.
pub const SOCKET: &str = "shim.sock";
/// Name of the file that holds the [`SandboxSpec`].
pub const SPEC: &str = "spec.json";

/// Runs a shim for the sandbox whose folder is the first argument; returns the process's exit code.
///
/// Prints one line of JSON ([`Ready`]) on standard output once the sandbox stands, then goes its own way.
pub fn shim_main(args: &[String]) -> i32 {
    let Some(dir) = args.first() else {
        eprintln!("usage: shim DIRECTORY");
        return 2;
    };
    match set_up(Path::new(dir)) {
        Ok(mut server) => {
            announce(&Ready::Pause { pid: server.pause_pid() });
            server.run()
        }
        Err(error) => {
            announce(&Ready::Failed { message: stdx::error_chain(&error) });
            1
        }
    }
}

fn set_up(dir: &Path) -> Result<server::Server, StepError> {
    nix::unistd::chdir(dir).step("cannot enter the sandbox's folder")?;
    // A shim that leads a group already is no reason to stop.
    let _ = nix::unistd::setsid();
    // Without the right to a negative score the shim is as mortal as any process.
    child::set_oom_score(-998);
    let spec = std::fs::read(SPEC).step("cannot read the sandbox's description")?;
    let spec: SandboxSpec = serde_json::from_slice(&spec)
        .map_err(io::Error::other)
        .step("cannot understand the sandbox's description")?;
    let signals = block_signals().step("cannot block signals")?;
    let hierarchies = Arc::new(Hierarchies::discover().step("cannot find the cgroups")?);
    let listener = listen().step("cannot listen")?;
    let cgroup = Cgroup::new(hierarchies.clone(), &spec.cgroup);
    let pause = pause::start(&spec, &cgroup, dir)?;
    Ok(server::Server::new(spec, hierarchies, listener, signals, pause))
}

fn block_signals() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// The folder is the working directory: a socket's path has room for 107 bytes only.
fn listen() -> io::Result<UnixListener> {
    match std::fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(SOCKET)?;
    std::fs::set_permissions(SOCKET, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Says the line and lets go of standard output, so that the reader sees its end.
fn announce(ready: &Ready) {
    let mut line = serde_json::to_vec(ready).unwrap_or_default();
    line.push(b'\n');
    let mut out = io::stdout();
    // A server that died while starting us hears nothing; it will find the socket.
    let _ = out.write_all(&line).and_then(|()| out.flush());
    if let Ok(null) = std::fs::File::options().write(true).open("/dev/null") {
        let null = OwnedFd::from(null);
        let _ = linux::process::dup_onto(null.as_fd(), 1);
    }
}
