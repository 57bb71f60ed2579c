//! tmpfs and bind mounts, and which of them stand.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

/// Mounts an empty tmpfs unless one stands there already.
pub(crate) fn tmpfs(target: &Path, size_bytes: Option<u64>) -> io::Result<()> {
    if is_mounted(target)? {
        return Ok(());
    }
    let options = match size_bytes {
        Some(bytes) => format!("size={bytes},mode=0777"),
        None => "mode=0777".to_owned(),
    };
    let options = CString::new(options)?;
    mount("tmpfs", target, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str())?;
    Ok(())
}

pub(crate) fn bind(source: &Path, target: &Path) -> io::Result<()> {
    mount_bind(source, target)?;
    Ok(())
}

/// Unmounts; not being a mount is fine.
pub(crate) fn detach(target: &Path) -> io::Result<()> {
    match unmount(target, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn is_mounted(target: &Path) -> io::Result<bool> {
    Ok(below(target)?.iter().any(|path| path == target))
}

/// Every mount point at or below `folder`, the deepest first.
pub(crate) fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(unescape(path)))
        .filter(|path| path.starts_with(folder))
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    Ok(found)
}

/// Spaces and the like stand as octal escapes in the mount table.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
