//! Blobs and layers that no image names and no container uses are deleted.
//!
//! A layer goes whole or not at all: it is moved into `tmp/` first. Layers that an import or a pull has put in place
//! and not named yet are safe, because it holds [`Naming`]; whoever is last to let go collects.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::layout::{Layout, LayoutError};
use super::scratch::{Lock, entries};

/// Held from before a layer is put in place, or looked for, until the index or a snapshot names it.
pub(super) struct Naming(#[expect(dead_code, reason = "the lock lives as long as this")] Lock);

const LOCK: &str = "naming.lock";

impl Layout {
    pub fn naming(&self) -> Result<Naming, LayoutError> {
        self.lock_file(LOCK, FlockOperation::LockShared).map(Naming)
    }

    /// Deletes what nobody needs, unless somebody is about to name something.
    pub fn collect_garbage(&self) -> Result<(), LayoutError> {
        let Some(alone) = self.try_lock_file(LOCK)? else { return Ok(()) };
        let kept = self.needed()?;
        let mut garbage = Vec::new();
        for folder in ["blobs", "l"] {
            garbage.extend(entries(&self.root.join(folder))?.into_iter().filter(|path| !kept.contains(path)));
        }
        if garbage.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch()?;
        for (number, path) in garbage.iter().enumerate() {
            fs::rename(path, scratch.path().join(number.to_string()))
                .map_err(|source| LayoutError::File { step: "delete", path: path.clone(), source })?;
        }
        // Others need not wait for the deletion itself, which the end of the scratch folder is.
        drop(alone);
        Ok(())
    }

    fn needed(&self) -> Result<HashSet<PathBuf>, LayoutError> {
        let mut kept: HashSet<PathBuf> = HashSet::new();
        for record in self.index()?.images.values() {
            kept.extend([self.blob(&record.id), self.blob(&record.manifest)]);
            kept.extend(record.layers.iter().map(|layer| self.layer_path(layer)));
        }
        for snapshot in entries(&self.root.join("s"))? {
            kept.extend(noted_layers(&snapshot)?.iter().map(|layer| self.layer_path(layer)));
        }
        Ok(kept)
    }

    /// Notes on the snapshot what a removal of the image must leave in place.
    pub fn note_layers(&self, snapshot: &Path, layers: &[String]) -> Result<(), LayoutError> {
        let path = snapshot.join(NOTE);
        let mut noted = noted_layers(snapshot)?;
        let new: Vec<String> = layers.iter().filter(|layer| !noted.contains(layer)).cloned().collect();
        noted.extend(new);
        let written = fs::create_dir_all(snapshot).and_then(|()| fs::write(&path, noted.join("\n")));
        written.map_err(|source| LayoutError::File { step: "write", path, source })
    }
}

/// In a snapshot's folder: the diff ids that it stands on, one a line.
const NOTE: &str = "layers";

/// Written before the mount, so that a snapshot without it holds no layer.
fn noted_layers(snapshot: &Path) -> Result<Vec<String>, LayoutError> {
    let path = snapshot.join(NOTE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(LayoutError::File { step: "read", path, source }),
    }
}
