//! Replaces the files of a folder all at once, so that a reader sees the old set or the new one.
//!
//! Upstream: pkg/volume/util/atomic_writer.go. The files lie in `..<time>`, `..data` points there and is swapped by a
//! rename, and each visible name points through `..data`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::payload::Payload;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Writes `payload` into `target` unless it stands there already; whether anything changed.
/// `own` is given the new folder before it becomes visible.
pub(crate) fn write(
    target: &Path,
    payload: &Payload,
    now: Timestamp,
    own: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<bool> {
    let old = match fs::read_link(target.join(DATA)) {
        Ok(link) => Some(target.join(link)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(old) = &old
        && equals(old, payload)?
    {
        link_visible(target, payload)?;
        return Ok(false);
    }
    let fresh = new_folder(target, now)?;
    write_files(&fresh, payload)?;
    own(&fresh)?;
    swap(target, &fresh)?;
    link_visible(target, payload)?;
    remove_stale(target, payload)?;
    if let Some(old) = old {
        remove_folder(&old)?;
    }
    Ok(true)
}

fn equals(folder: &Path, payload: &Payload) -> io::Result<bool> {
    let mut paths = Vec::new();
    if !collect(folder, folder, &mut paths)? {
        return Ok(false);
    }
    if paths.len() != payload.len() {
        return Ok(false);
    }
    for path in paths {
        let Some(file) = payload.get(&path) else { return Ok(false) };
        let full = folder.join(&path);
        // The group's bits may have been widened for fsGroup: the owner's and others' tell enough.
        let mode = fs::metadata(&full)?.permissions().mode() & 0o707;
        if mode != file.mode & 0o707 || fs::read(&full)? != file.data {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The files below `folder`; false if it is not there.
fn collect(root: &Path, folder: &Path, out: &mut Vec<String>) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(root, &entry.path(), out)?;
        } else if let Ok(path) = entry.path().strip_prefix(root) {
            out.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(true)
}

fn new_folder(target: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let second = now.strftime("..%Y_%m_%d_%H_%M_%S");
    // A name that is taken is left over from a crash or from the same instant: take the next one.
    for offset in 0.. {
        let path = target.join(format!("{second}.{:09}", i64::from(now.subsec_nanosecond()) + offset));
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && offset < 1000 => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn write_files(folder: &Path, payload: &Payload) -> io::Result<()> {
    for (path, file) in payload {
        let full = folder.join(path);
        if let Some(parent) = full.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&full)?;
        io::Write::write_all(&mut opened, &file.data)?;
        // Set apart from opening, so that no umask narrows it.
        opened.set_permissions(fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

fn swap(target: &Path, fresh: &Path) -> io::Result<()> {
    let name = fresh.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let link = target.join(NEW_DATA);
    remove_link(&link)?;
    symlink(name, &link)?;
    fs::rename(&link, target.join(DATA))
}

fn link_visible(target: &Path, payload: &Payload) -> io::Result<()> {
    for name in visible(payload) {
        match symlink(Path::new(DATA).join(name), target.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

/// The first component of each path.
fn visible(payload: &Payload) -> BTreeSet<&str> {
    payload.keys().map(|path| path.split('/').next().unwrap_or(path)).collect()
}

fn remove_stale(target: &Path, payload: &Payload) -> io::Result<()> {
    let wanted = visible(payload);
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("..") && !wanted.contains(name) {
            remove_link(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_link(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::File;
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        files.iter().map(|(p, d)| ((*p).into(), File { data: (*d).into(), mode: 0o644 })).collect()
    }

    fn names(target: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(target)
            .expect("readable")
            .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn swaps_whole_sets() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |s| Timestamp::from_second(s).expect("in range");
        let write = |files: &[(&str, &str)], s| {
            super::write(dir.path(), &payload(files), at(s), |_| Ok(())).expect("writes")
        };
        assert!(write(&[("a", "1"), ("d/b", "2")], 1));
        assert_eq!(names(dir.path()), ["..1970_01_01_00_00_01.000000000", "..data", "a", "d"]);
        assert_eq!(fs::read_to_string(dir.path().join("d/b")).expect("reads"), "2");
        assert!(!write(&[("a", "1"), ("d/b", "2")], 2));
        assert!(write(&[("a", "3"), ("c", "4")], 3));
        assert_eq!(names(dir.path()), ["..1970_01_01_00_00_03.000000000", "..data", "a", "c"]);
        assert_eq!(fs::read_to_string(dir.path().join("a")).expect("reads"), "3");
        assert!(write(&[], 4));
        assert_eq!(names(dir.path()), ["..1970_01_01_00_00_04.000000000", "..data"]);
    }
}
