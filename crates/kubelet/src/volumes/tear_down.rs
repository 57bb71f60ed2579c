//! Removes a pod's folder: first every mount below it, then the files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::mounts;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TearDownError {
    #[error("cannot read the mount table")]
    Table { source: io::Error },
    #[error("cannot unmount {path:?}")]
    Unmount { path: PathBuf, source: io::Error },
    #[error("{path:?} is still a mount: its files are not ours to remove")]
    StillMounted { path: PathBuf },
    #[error("cannot remove {path:?}")]
    Remove { path: PathBuf, source: io::Error },
}

/// Unmounts everything below the pod's folder.
pub(crate) fn unmount_all(folder: &Path) -> Result<(), TearDownError> {
    for path in mounts::below(folder).map_err(|source| TearDownError::Table { source })? {
        mounts::detach(&path).map_err(|source| TearDownError::Unmount { path, source })?;
    }
    // Removing files below a mount would remove somebody's data: look again.
    match mounts::below(folder).map_err(|source| TearDownError::Table { source })?.into_iter().next() {
        Some(path) => Err(TearDownError::StillMounted { path }),
        None => Ok(()),
    }
}

/// Unmounts and removes the pod's folder.
pub(crate) fn remove(folder: &Path) -> Result<(), TearDownError> {
    unmount_all(folder)?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(TearDownError::Remove { path: folder.into(), source: error })
        }
        _ => Ok(()),
    }
}
