//! hostPath: what must stand at the path before a pod may use it.
//!
//! Upstream: pkg/volume/hostpath.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum HostPathError {
    #[error("hostPath type check failed: {path:?} is not {what}")]
    Wrong { path: PathBuf, what: &'static str },
    #[error("cannot create {path:?}")]
    Create { path: PathBuf, source: io::Error },
}

pub(crate) fn check(path: &Path, kind: &str) -> Result<(), HostPathError> {
    let found = fs::metadata(path).map(|m| m.file_type());
    let wrong = |what| Err(HostPathError::Wrong { path: path.into(), what });
    let create =
        |made: io::Result<()>| made.map_err(|source| HostPathError::Create { path: path.into(), source });
    match (kind, found) {
        ("", _) => Ok(()),
        ("Directory", Ok(t)) if t.is_dir() => Ok(()),
        ("Directory", _) => wrong("a directory"),
        ("DirectoryOrCreate", Ok(t)) if t.is_dir() => Ok(()),
        ("DirectoryOrCreate", Ok(_)) => wrong("a directory"),
        ("DirectoryOrCreate", Err(_)) => {
            create(fs::DirBuilder::new().recursive(true).mode(0o755).create(path))
        }
        ("File", Ok(t)) if t.is_file() => Ok(()),
        ("File", _) => wrong("a file"),
        ("FileOrCreate", Ok(t)) if t.is_file() => Ok(()),
        ("FileOrCreate", Ok(_)) => wrong("a file"),
        ("FileOrCreate", Err(_)) => create(
            fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path).map(drop),
        ),
        ("Socket", Ok(t)) if t.is_socket() => Ok(()),
        ("Socket", _) => wrong("a socket file"),
        ("CharDevice", Ok(t)) if t.is_char_device() => Ok(()),
        ("CharDevice", _) => wrong("a character device"),
        ("BlockDevice", Ok(t)) if t.is_block_device() => Ok(()),
        ("BlockDevice", _) => wrong("a block device"),
        _ => wrong("of a known type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_creates() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        for (name, kind, good) in [
            ("absent", "Directory", false),
            ("absent", "", true),
            ("made", "DirectoryOrCreate", true),
            ("made", "File", false),
            ("file", "FileOrCreate", true),
            ("file", "File", true),
            ("file", "Socket", false),
        ] {
            assert_eq!(check(&at(name), kind).is_ok(), good, "{name} {kind}");
        }
        assert!(at("made").is_dir() && at("file").is_file() && !at("absent").exists());
    }
}
