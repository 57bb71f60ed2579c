//! Tells when something happens in a folder: inotify.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// One watched folder.
pub(crate) struct FolderWatch(AsyncFd<OwnedFd>);

impl FolderWatch {
    #[allow(deprecated, reason = "an OwnedFd answers for itself; the replacement is unsafe")]
    pub fn new(folder: &Path, what: WatchFlags) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&fd, folder, what)?;
        Ok(Self(AsyncFd::new(fd)?))
    }

    /// Returns after a change; several at once count as one. Which they were does not matter: whoever waits looks at
    /// the whole.
    pub async fn changed(&mut self) -> io::Result<()> {
        let mut ready = self.0.readable_mut().await?;
        let mut events = [0; 4096];
        while rustix::io::read(ready.get_inner(), &mut events).is_ok() {}
        ready.clear_ready();
        Ok(())
    }
}
