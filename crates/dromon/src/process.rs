//! The process of a cluster: its pid file, which it holds locked while it lives.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Longest wait for a cluster that was killed to let go of its folder.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// Held by the running cluster; the lock ends with the process, however it ends.
pub struct PidFile(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl PidFile {
    /// Claims the folder for this process.
    pub fn claim(path: &Path) -> Result<Self> {
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o644).open(path);
        let mut file = open.with_context(|| format!("cannot open {}", path.display()))?;
        let lock = || flock(&file, FlockOperation::NonBlockingLockExclusive);
        if lock().is_err() {
            let holder = running(path)?;
            // One that was killed a moment ago keeps the lock until its memory is given back.
            let has_ended = holder.is_some_and(|pid| wait(pid, LAST_BREATH).is_ok_and(|ended| ended));
            if !has_ended || lock().is_err() {
                return Err(taken(path, holder));
            }
        }
        let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        write.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(file))
    }
}

fn taken(path: &Path, holder: Option<Pid>) -> anyhow::Error {
    let folder = path.parent().unwrap_or(path).display();
    match holder {
        Some(pid) => anyhow!(
            "a cluster already runs in {folder} (process {}); stop it with `dromon down --data-dir {folder}`",
            pid.as_raw_pid()
        ),
        None => anyhow!("another process holds {}", path.display()),
    }
}

/// The process that holds the pid file, if one does.
pub fn running(path: &Path) -> Result<Option<Pid>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("cannot open {}", path.display()))?,
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().parse().ok().and_then(Pid::from_raw))
}

/// Asks the process to end and waits; after `patience` it is killed.
pub fn stop(pid: Pid, patience: Duration) -> Result<()> {
    let Some(process) = watch(pid)? else { return Ok(()) };
    for signal in [Signal::TERM, Signal::KILL] {
        match pidfd_send_signal(&process, signal) {
            Err(Errno::SRCH) => return Ok(()),
            sent => sent.with_context(|| format!("cannot signal process {}", pid.as_raw_pid()))?,
        }
        if ends(&process, patience)? {
            return Ok(());
        }
    }
    bail!("process {} does not end", pid.as_raw_pid())
}

/// Whether the process is gone, at the latest after `patience`.
fn wait(pid: Pid, patience: Duration) -> Result<bool> {
    match watch(pid)? {
        None => Ok(true),
        Some(process) => ends(&process, patience),
    }
}

/// A handle of the process; none where it is gone.
fn watch(pid: Pid) -> Result<Option<OwnedFd>> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => Ok(None),
        process => process.map(Some).with_context(|| format!("cannot watch process {}", pid.as_raw_pid())),
    }
}

fn ends(process: &OwnedFd, patience: Duration) -> Result<bool> {
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    let patience = rustix::event::Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
    Ok(poll(&mut ended, Some(&patience)).context("cannot wait for the process")? > 0)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// Holds the lock of its standard input and ends when its standard output is read to the end.
    fn holder(path: &Path, script: &str) -> std::process::Child {
        let locked = File::options().create(true).append(true).open(path).expect("opens");
        flock(&locked, FlockOperation::NonBlockingLockExclusive).expect("free");
        let mut child = Command::new("sh");
        child.args(["-c", script]).stdin(locked).stdout(Stdio::piped());
        let mut child = child.spawn().expect("a shell");
        fs::write(path, child.id().to_string()).expect("written");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("reads");
        child
    }

    #[test]
    fn a_folder_is_claimed_from_who_ends_and_not_from_who_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dromon.pid");
        let mut ending = holder(&path, "echo; exec sleep 0.3");
        let claimed = PidFile::claim(&path).expect("the other one ends");
        let own = fs::read_to_string(&path).expect("readable");
        assert_eq!(own.trim(), std::process::id().to_string());
        ending.wait().expect("ended");
        drop(claimed);
        let mut living = holder(&path, "echo; exec sleep 1000");
        let Err(error) = PidFile::claim(&path) else { panic!("claimed from who lives") };
        assert!(error.to_string().contains(&format!("(process {})", living.id())), "{error}");
        living.kill().expect("killed");
        living.wait().expect("ended");
    }
}
