//! What lies where under the store's folder, and the index of images.
//!
//! `blobs/<hex>` manifests and configurations; `l/<24 hex>` unpacked layers by diff id (short names: all lowers of an
//! overlay must fit one page); `s/<container>` snapshots; `tmp/` whatever is not finished, emptied at open.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::scratch::Lock;

#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("cannot {step} {path:?}")]
    File { step: &'static str, path: PathBuf, source: io::Error },
    #[error("no space left to write {path:?}")]
    DiskFull { path: PathBuf },
    #[error("{path:?} is not understood")]
    Registries { path: PathBuf, source: serde_json::Error },
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
        layout.sweep()?;
        layout.collect_garbage()?;
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

    /// Waits until no other process changes the index.
    pub fn lock(&self) -> Result<Lock, LayoutError> {
        self.lock_file("lock", FlockOperation::LockExclusive)
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

    /// Replaces a file whole: written aside, flushed, renamed, and the rename flushed too.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), LayoutError> {
        let path = self.root.join(name);
        let scratch = self.scratch()?;
        let aside = scratch.path().join("file");
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(path.parent().unwrap_or(&self.root))?.sync_all()
        };
        write().map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                LayoutError::DiskFull { path: path.clone() }
            }
            _ => LayoutError::File { step: "write", path: path.clone(), source },
        })
    }
}
