//! subPath: a part of a volume, resolved so that no symbolic link leads out of it, and pinned by a bind mount.
//!
//! Upstream: k8s.io/mount-utils subpath. Differs: the kernel resolves (openat2 with RESOLVE_BENEATH), in one step.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, open, openat2};

use super::mounts;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SubPathError {
    #[error("failed to prepare subPath {sub_path:?}")]
    Resolve { sub_path: String, source: io::Error },
    #[error("failed to bind subPath {sub_path:?}")]
    Bind { sub_path: String, source: io::Error },
}

/// Binds `volume/sub_path` at `target` and makes it as a folder if it is not there.
pub(crate) fn prepare(volume: &Path, sub_path: &str, target: &Path) -> Result<PathBuf, SubPathError> {
    let opened = resolve(volume, sub_path)
        .map_err(|source| SubPathError::Resolve { sub_path: sub_path.into(), source })?;
    pin(&opened, target).map_err(|source| SubPathError::Bind { sub_path: sub_path.into(), source })?;
    Ok(target.into())
}

/// Opens what `sub_path` names below `volume`, creating absent folders.
pub(crate) fn resolve(volume: &Path, sub_path: &str) -> io::Result<OwnedFd> {
    let mut at = open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if fstat_type(&at)? != FileType::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let whole = open_beneath(&at, sub_path);
    if !matches!(whole, Err(rustix::io::Errno::NOENT)) {
        return Ok(whole?);
    }
    let mut walked = PathBuf::new();
    let root = at;
    at = open_beneath(&root, ".")?;
    for part in Path::new(sub_path).components() {
        walked.push(part);
        let path = walked.to_string_lossy();
        at = match open_beneath(&root, &path) {
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(&at, part.as_os_str(), Mode::from_raw_mode(0o750))?;
                open_beneath(&root, &path)?
            }
            other => other?,
        };
    }
    Ok(at)
}

fn open_beneath(root: &OwnedFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

fn fstat_type(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn pin(opened: &OwnedFd, target: &Path) -> io::Result<()> {
    // An older container keeps what it was given: its own mount holds it.
    mounts::detach(target)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if fstat_type(opened)? == FileType::Directory {
        fs::create_dir_all(target)?;
    } else {
        fs::OpenOptions::new().create(true).append(true).open(target)?;
    }
    mounts::bind(Path::new(&format!("/proc/self/fd/{}", opened.as_raw_fd())), target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn never_leaves_the_volume() {
        let dir = tempfile::tempdir().expect("a folder");
        let volume = dir.path().join("v");
        fs::create_dir_all(volume.join("in")).expect("made");
        symlink("/etc", volume.join("out")).expect("linked");
        symlink("../..", volume.join("up")).expect("linked");
        symlink("in", volume.join("fine")).expect("linked");
        for (path, good) in [
            ("in", true),
            ("fine", true),
            ("new/deep", true),
            ("out", false),
            ("up", false),
            ("out/passwd", false),
            ("../x", false),
        ] {
            assert_eq!(resolve(&volume, path).is_ok(), good, "{path}");
        }
        assert!(volume.join("new/deep").is_dir());
    }
}
