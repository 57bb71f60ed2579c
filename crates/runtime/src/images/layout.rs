//! What lies where under the store's folder, and the index of images.
//!
//! `blobs/<hex>` manifests and configurations; `l/<24 hex>` unpacked layers by diff id (short names: all lowers of an
//! overlay must fit one page); `s/<container>` snapshots; `tmp/` whatever is not finished, emptied at open.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("cannot {step} {path:?}")]
    File { step: &'static str, path: PathBuf, source: io::Error },
    #[error("the image index {path:?} is damaged")]
    Index { path: PathBuf, source: serde_json::Error },
}

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Record {
    /// Digest of the configuration.
    pub id: String,
    pub manifest: String,
    /// `name:tag`, complete.
    pub names: Vec<String>,
    /// `name@sha256:…`.
    pub digests: Vec<String>,
    /// Diff ids, the lowest layer first.
    pub layers: Vec<String>,
    /// Compressed layers and configuration, in bytes.
    pub size: u64,
}

/// All images, by id.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Index {
    pub images: BTreeMap<String, Record>,
}

impl Index {
    /// The image of a complete name, a digest, an id or the beginning of one.
    pub fn find(&self, image: &str) -> Option<&Record> {
        if let Some(record) = self.images.get(image) {
            return Some(record);
        }
        let complete = image.parse::<super::Reference>().ok().map(|reference| {
            // With tag and digest the digest counts.
            match &reference.digest {
                Some(digest) => reference.with_digest(digest),
                None => reference.to_string(),
            }
        });
        let named = |record: &&Record| {
            complete.as_ref().is_some_and(|name| record.names.contains(name) || record.digests.contains(name))
        };
        let hex = image.strip_prefix("sha256:").unwrap_or(image);
        let begins = |record: &&Record| {
            hex.len() >= 6 && record.id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(hex))
        };
        self.images.values().find(named).or_else(|| self.images.values().find(begins))
    }

    /// Adds an image; a name moves from the image that had it.
    pub fn insert(&mut self, record: Record) {
        for other in self.images.values_mut() {
            other.names.retain(|name| !record.names.contains(name));
        }
        match self.images.get_mut(&record.id) {
            Some(known) => {
                known.manifest = record.manifest;
                merge(&mut known.names, record.names);
                merge(&mut known.digests, record.digests);
            }
            None => {
                self.images.insert(record.id.clone(), record);
            }
        }
    }
}

fn merge(known: &mut Vec<String>, more: Vec<String>) {
    for name in more {
        if !known.contains(&name) {
            known.push(name);
        }
    }
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub root: PathBuf,
}

/// Held while the index is changed, by one process at a time.
pub(super) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl Layout {
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        let layout = Self { root: root.to_owned() };
        for folder in ["blobs", "l", "s", "tmp"] {
            let path = root.join(folder);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(|source| LayoutError::File { step: "create", path, source })?;
        }
        Ok(layout)
    }

    pub fn blob(&self, digest: &str) -> PathBuf {
        self.root.join("blobs").join(digest.trim_start_matches("sha256:"))
    }

    /// Relative to the root: overlay options name it so.
    pub fn layer(&self, diff_id: &str) -> PathBuf {
        let hex = diff_id.trim_start_matches("sha256:");
        Path::new("l").join(&hex[..hex.len().min(24)])
    }

    pub fn layer_path(&self, diff_id: &str) -> PathBuf {
        self.root.join(self.layer(diff_id))
    }

    pub fn snapshot(&self, id: &str) -> PathBuf {
        self.root.join("s").join(id)
    }

    /// A folder for what is not finished; gone when dropped.
    pub fn scratch(&self) -> Result<tempfile::TempDir, LayoutError> {
        let folder = self.root.join("tmp");
        tempfile::tempdir_in(&folder).map_err(|source| LayoutError::File {
            step: "create a folder in",
            path: folder,
            source,
        })
    }

    /// Waits until no other process changes the index.
    pub fn lock(&self) -> Result<Lock, LayoutError> {
        let path = self.root.join("lock");
        let failed = |source| LayoutError::File { step: "lock", path: path.clone(), source };
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Lock(file))
    }

    pub fn index(&self) -> Result<Index, LayoutError> {
        let path = self.root.join("images.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::default()),
            Err(source) => return Err(LayoutError::File { step: "read", path, source }),
            Ok(bytes) => bytes,
        };
        serde_json::from_slice(&bytes).map_err(|source| LayoutError::Index { path, source })
    }

    /// Replaces the index whole.
    pub fn write_index(&self, index: &Index, _lock: &Lock) -> Result<(), LayoutError> {
        let bytes = serde_json::to_vec_pretty(index).expect("string keys serialize");
        self.write("images.json", &bytes)
    }

    /// Replaces a file whole: written aside, flushed, renamed.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), LayoutError> {
        let path = self.root.join(name);
        let failed = |source| LayoutError::File { step: "write", path: path.clone(), source };
        let mut file = tempfile::NamedTempFile::new_in(self.root.join("tmp")).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}
