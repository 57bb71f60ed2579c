//! What every child process does to itself before it becomes a program: identity, rights, terminal, exec.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use linux::seccomp::Filters;
use linux::{caps, process};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use super::protocol::{Process, User};
use super::user;

/// Why a process could not be started: the step that failed, in words for a person.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error("{step}")]
    Failed { step: String, source: io::Error },
    /// Said by a child, causes and all.
    #[error("{0}")]
    Told(String),
    #[error("exec: {name:?}: executable file not found in $PATH")]
    NotInPath { name: String },
    #[error("exec: {name:?}: stat {name}: no such file or directory")]
    NoFile { name: String },
    #[error("exec: {name:?}: permission denied")]
    NotExecutable { name: String },
    #[error(transparent)]
    User(#[from] user::Error),
}

/// Names the step that an error belongs to.
pub trait Step<T> {
    fn step(self, step: &str) -> Result<T, StepError>;
}

impl<T, E: Into<Cause>> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, StepError> {
        self.map_err(|error| StepError::Failed { step: step.to_owned(), source: error.into().0 })
    }
}

/// Any error of a system call, as `io::Error`.
pub struct Cause(io::Error);

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}
impl From<nix::Error> for Cause {
    fn from(error: nix::Error) -> Self {
        Self(error.into())
    }
}
impl From<rustix::io::Errno> for Cause {
    fn from(error: rustix::io::Errno) -> Self {
        Self(error.into())
    }
}
impl From<linux::cgroup::Error> for Cause {
    fn from(error: linux::cgroup::Error) -> Self {
        Self(io::Error::other(error))
    }
}

/// What a child tells its parent before exec.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// With the terminal's master where there is one.
    Ready {
        user: User,
    },
    Failed {
        message: String,
    },
}

/// Moves this process through each door into a cgroup.
pub fn enter_cgroup(doors: &[File]) -> Result<(), StepError> {
    doors.iter().try_for_each(|mut door| door.write_all(b"0")).step("cannot join the cgroup")
}

/// A negative value needs a capability that not every host gives: then the present one stays.
pub fn set_oom_score(score: i64) {
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        tracing::warn!(score, %error, "oom_score_adj not set");
    }
}

/// Becomes the program. Returns only when that failed.
pub fn run(spec: &Process, filters: Option<&Filters>, parent: &UnixStream, stdio: Stdio) -> StepError {
    match become_program(spec, filters, parent, stdio) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Where standard input, output and error lead.
pub enum Stdio {
    Files([OwnedFd; 3]),
    /// A terminal of the container's own, bound to /dev/console as well.
    Console,
    Terminal,
}

fn become_program(
    spec: &Process,
    filters: Option<&Filters>,
    parent: &UnixStream,
    stdio: Stdio,
) -> Result<std::convert::Infallible, StepError> {
    let resolved = user::resolve(&spec.user, Path::new("/"))?;
    nix::unistd::setsid().step("cannot start a session")?;
    let master = connect(stdio, resolved.user.uid)?;
    let ready = serde_json::to_vec(&Message::Ready { user: resolved.user.clone() }).map_err(io::Error::other);
    let ready = ready.step("cannot speak to the shim")?;
    let fds: Vec<_> = master.iter().map(AsFd::as_fd).collect();
    linux::frames::send(parent.as_fd(), &ready, &fds).step("cannot speak to the shim")?;
    drop(master);

    let env = environment(spec, &resolved.home);
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    enter_directory(&spec.cwd)?;
    process::close_from_on_exec(3).step("cannot mark descriptors")?;
    take_rights(spec, filters, &resolved.user)?;
    exec(spec, &env)
}

/// Puts the streams on descriptors 0 to 2; answers a terminal's master.
fn connect(stdio: Stdio, uid: u32) -> Result<Option<OwnedFd>, StepError> {
    match stdio {
        Stdio::Files(files) => {
            for (target, file) in files.iter().enumerate() {
                process::dup_onto(file.as_fd(), target as i32).step("cannot connect a stream")?;
            }
            // Files may sit on 0 to 2 themselves; they stay open for the program either way.
            std::mem::forget(files);
            Ok(None)
        }
        Stdio::Console => open_terminal(uid, true).step("cannot open a terminal").map(Some),
        Stdio::Terminal => open_terminal(uid, false).step("cannot open a terminal").map(Some),
    }
}

fn open_terminal(uid: u32, console: bool) -> io::Result<OwnedFd> {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, ptsname, unlockpt};
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let master = rustix::fs::open("/dev/ptmx", flags, rustix::fs::Mode::empty())?;
    unlockpt(&master)?;
    let terminal = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::process::ioctl_tiocsctty(&terminal)?;
    rustix::fs::fchown(&terminal, Some(rustix::process::Uid::from_raw(uid)), None)?;
    if console {
        let name = ptsname(&master, Vec::new())?;
        let name = Path::new(std::ffi::OsStr::new(name.to_str().map_err(io::Error::other)?));
        File::create("/dev/console")?;
        let tree = linux::mount::clone_tree(name)?;
        linux::mount::attach(tree.as_fd(), Path::new("/dev/console"))?;
    }
    for target in 0..3 {
        process::dup_onto(terminal.as_fd(), target)?;
    }
    Ok(master)
}

fn environment(spec: &Process, home: &str) -> Vec<String> {
    let mut env = spec.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    env
}

fn enter_directory(cwd: &str) -> Result<(), StepError> {
    let cwd = if cwd.is_empty() { "/" } else { cwd };
    if !Path::new(cwd).exists() {
        std::fs::create_dir_all(cwd).step(&format!("cannot make the working directory {cwd:?}"))?;
    }
    nix::unistd::chdir(cwd).step(&format!("cannot enter the working directory {cwd:?}"))
}

/// The filter needs CAP_SYS_ADMIN or no_new_privs: without the latter it is loaded while root still has the former.
fn take_rights(spec: &Process, filters: Option<&Filters>, user: &User) -> Result<(), StepError> {
    let held = parse(&spec.capabilities);
    let ambient = parse(&spec.ambient);
    if spec.no_new_privs {
        rustix::thread::set_no_new_privs(true).step("cannot set no_new_privs")?;
    } else if let Some(filters) = filters {
        filters.load().step("cannot load the system call filter")?;
    }
    caps::limit_bounding(held | ambient).step("cannot limit capabilities")?;
    caps::keep_over_user_change().step("cannot keep capabilities")?;
    process::set_user(user.uid, user.gid, &user.groups).step("cannot change the user")?;
    caps::set(held, ambient).step("cannot set capabilities")?;
    if let Some(filters) = filters.filter(|_| spec.no_new_privs) {
        filters.load().step("cannot load the system call filter")?;
    }
    process::reset_signals().step("cannot reset signals")
}

/// Bits of the names; unknown ones are newer than we, or misspelt, and give nothing.
pub fn parse(names: &[String]) -> CapabilitySet {
    names.iter().filter_map(|name| caps::parse(name)).collect()
}

fn exec(spec: &Process, env: &[String]) -> Result<std::convert::Infallible, StepError> {
    let strings =
        |list: &[String]| list.iter().map(|s| CString::new(s.as_str())).collect::<Result<Vec<_>, _>>();
    let args = strings(&spec.args).map_err(io::Error::other).step("an argument contains a zero byte")?;
    let env_c = strings(env).map_err(io::Error::other).step("a variable contains a zero byte")?;
    let name = spec.args.first().map_or("", String::as_str);
    let path = find(name, env)?;
    let file = CString::new(path).map_err(io::Error::other).step("the command contains a zero byte")?;
    match nix::unistd::execve(&file, &args, &env_c) {
        Ok(never) => Ok(never),
        Err(nix::Error::EACCES) => Err(StepError::NotExecutable { name: name.to_owned() }),
        Err(error) => Err(StepError::Failed { step: format!("exec {name}"), source: error.into() }),
    }
}

/// Looks a command up as a shell would: with a slash it is a path, otherwise a name in $PATH.
fn find(name: &str, env: &[String]) -> Result<String, StepError> {
    if name.contains('/') {
        return match std::fs::metadata(name) {
            Ok(_) => Ok(name.to_owned()),
            Err(_) => Err(StepError::NoFile { name: name.to_owned() }),
        };
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let candidates = path.split(':').filter(|_| !name.is_empty()).map(|folder| format!("{folder}/{name}"));
    let executable = |file: &String| {
        std::fs::metadata(file).is_ok_and(|m| m.is_file())
            && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    };
    candidates.into_iter().find(executable).ok_or_else(|| StepError::NotInPath { name: name.to_owned() })
}
