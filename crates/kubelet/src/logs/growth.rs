//! Tells that logs grow, without a wake-up for every line: each log tells once, then again when it was looked at.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// The logs of running containers.
pub(crate) struct Growth {
    /// `None` where the kernel gives no more of these; then nothing is told.
    events: Option<AsyncFd<OwnedFd>>,
    logs: Mutex<HashSet<PathBuf>>,
}

impl Growth {
    pub fn new() -> Self {
        let events = start().inspect_err(|error| tracing::warn!(%error, "logs are not watched")).ok();
        Self { events, logs: Mutex::default() }
    }

    /// From now on, or again, the next write to this log is told.
    pub fn watch(&self, log: &Path) {
        if self.add(log).is_ok() {
            self.logs.lock().insert(log.into());
        }
    }

    fn add(&self, log: &Path) -> io::Result<()> {
        let Some(events) = &self.events else { return Ok(()) };
        inotify::add_watch(events.get_ref(), log, WatchFlags::MODIFY | WatchFlags::ONESHOT)?;
        Ok(())
    }

    /// Returns once some log was written to.
    pub async fn grown(&self) {
        let Some(events) = &self.events else { return std::future::pending().await };
        // An inotify descriptor that cannot be waited for tells nothing more.
        let Ok(mut ready) = events.readable().await else { return std::future::pending().await };
        let mut buffer = [0; 4096];
        while rustix::io::read(ready.get_inner(), &mut buffer).is_ok() {}
        ready.clear_ready();
    }

    /// After all were looked at: tell again. Logs that are gone are forgotten.
    pub fn again(&self) {
        let logs: Vec<PathBuf> = self.logs.lock().iter().cloned().collect();
        for log in logs {
            if self.add(&log).is_err() {
                self.logs.lock().remove(&log);
            }
        }
    }
}

#[allow(deprecated, reason = "an OwnedFd answers for itself; the replacement is unsafe")]
fn start() -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)
}
