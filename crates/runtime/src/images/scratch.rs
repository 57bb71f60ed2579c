//! What is not finished lies in `tmp/`: gone when it is dropped, or at the next open where the program died.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::TempDir;

use super::layout::{Layout, LayoutError};

/// A folder of its maker's own.
pub(super) struct Scratch {
    // Dropped, and so deleted, before the lock that says that it is in use.
    folder: TempDir,
    _held: File,
}

impl Scratch {
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A file that processes lock to keep out of each other's way; unlocked when dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl Layout {
    /// A folder for what is not finished.
    pub fn scratch(&self) -> Result<Scratch, LayoutError> {
        // Between making a folder and holding it, nobody may sweep.
        let _making = self.lock_file("tmp.lock", FlockOperation::LockShared)?;
        let place = self.root.join("tmp");
        let made = tempfile::tempdir_in(&place).and_then(|folder| {
            let held = File::open(folder.path())?;
            flock(&held, FlockOperation::LockExclusive)?;
            Ok(Scratch { folder, _held: held })
        });
        made.map_err(|source| LayoutError::File { step: "create a folder in", path: place, source })
    }

    /// Deletes what nobody holds any more.
    pub(super) fn sweep(&self) -> Result<(), LayoutError> {
        let _alone = self.lock_file("tmp.lock", FlockOperation::LockExclusive)?;
        for path in entries(&self.root.join("tmp"))? {
            let failed = |source| LayoutError::File { step: "delete", path: path.clone(), source };
            if !is_held(&path).map_err(failed)? {
                delete(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    pub(super) fn lock_file(&self, name: &str, how: FlockOperation) -> Result<Lock, LayoutError> {
        let path = self.root.join(name);
        let failed = |source| LayoutError::File { step: "lock", path: path.clone(), source };
        let file = open_lock(&path).map_err(failed)?;
        flock(&file, how).map_err(|error| failed(error.into()))?;
        Ok(Lock(file))
    }

    /// Locks alone, or not at all where somebody else has it.
    pub(super) fn try_lock_file(&self, name: &str) -> Result<Option<Lock>, LayoutError> {
        match self.lock_file(name, FlockOperation::NonBlockingLockExclusive) {
            Err(LayoutError::File { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => Ok(None),
            locked => locked.map(Some),
        }
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        // Its maker was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(true),
        result => result.map(|()| false).map_err(Into::into),
    }
}

/// Deletes a file or a whole folder; none of that name is fine.
fn delete(path: &Path) -> io::Result<()> {
    let deleted = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match deleted {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, LayoutError> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    read().map_err(|source| LayoutError::File { step: "list", path: folder.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_removes_what_a_dead_program_left_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::open(folder.path()).expect("opens");
        let held = layout.scratch().expect("a scratch folder");
        let left = folder.path().join("tmp/left");
        fs::create_dir_all(left.join("half/a/layer")).expect("made");
        fs::write(folder.path().join("tmp/file"), "half").expect("written");
        Layout::open(folder.path()).expect("opens again");
        assert_eq!(entries(&folder.path().join("tmp")).expect("lists"), [held.path()]);
        drop(held);
        assert!(entries(&folder.path().join("tmp")).expect("lists").is_empty());
    }
}
