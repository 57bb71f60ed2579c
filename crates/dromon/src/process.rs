//! The process of a cluster: its pid file, which it holds locked while it lives.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Held by the running cluster; the lock ends with the process, however it ends.
pub struct PidFile(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl PidFile {
    /// Claims the folder for this process.
    pub fn claim(path: &Path) -> Result<Self> {
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o644).open(path);
        let mut file = open.with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let folder = path.parent().unwrap_or(path).display();
            match running(path)? {
                Some(pid) => bail!(
                    "a cluster already runs in {folder} (process {}); stop it with `dromon down --data-dir {folder}`",
                    pid.as_raw_pid()
                ),
                None => bail!("another process holds {}", path.display()),
            }
        }
        let write = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        write.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(file))
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
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        process => process.with_context(|| format!("cannot watch process {}", pid.as_raw_pid()))?,
    };
    for signal in [Signal::TERM, Signal::KILL] {
        match pidfd_send_signal(&process, signal) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            sent => sent.with_context(|| format!("cannot signal process {}", pid.as_raw_pid()))?,
        }
        let mut ended = [PollFd::new(&process, PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: 0 };
        if poll(&mut ended, Some(&patience)).context("cannot wait for the process")? > 0 {
            return Ok(());
        }
    }
    bail!("process {} does not end", pid.as_raw_pid())
}
