//! Root file systems: an overlay of an image's layers and a writable folder of the container's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::layout::Layout;

/// Why a root file system could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    #[error("cannot prepare {path:?}")]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot mount the layers at {path:?}")]
    Mount { path: PathBuf, source: io::Error },
    #[error("cannot unmount {path:?}")]
    Unmount { path: PathBuf, source: io::Error },
    #[error("layer {0} is missing from the store: import or pull the image again")]
    MissingLayer(String),
    #[error("the image has {layers} layers, more than the {MOST_LAYERS} that can be mounted")]
    TooManyLayers { layers: usize },
}

/// Mounts a writable root for container `id`; one that is mounted already is given again.
pub(super) fn prepare(layout: &Layout, id: &str, layers: &[String]) -> Result<PathBuf, RootfsError> {
    let snapshot = layout.snapshot(id);
    let merged = snapshot.join("m");
    if is_mounted(&merged) {
        return Ok(merged);
    }
    for folder in ["u", "w", "m"] {
        let path = snapshot.join(folder);
        fs::create_dir_all(&path).map_err(|source| RootfsError::Folder { path, source })?;
    }
    // The root itself is the upper folder's: as an image's root is.
    set_mode(&snapshot.join("u"), 0o755)?;
    set_mode(&snapshot, 0o711)?;
    let lowers = lowers(layout, id, layers)?;
    let options = format!("lowerdir={lowers},upperdir=s/{id}/u,workdir=s/{id}/w,volatile");
    overlay(&layout.root, &merged, &options, MountFlags::empty())?;
    Ok(merged)
}

/// Mounts an image read-only.
pub(super) fn prepare_read_only(
    layout: &Layout,
    id: &str,
    key: &str,
    layers: &[String],
) -> Result<PathBuf, RootfsError> {
    let place = layout.snapshot(id).join(key);
    if is_mounted(&place) {
        return Ok(place);
    }
    fs::create_dir_all(&place).map_err(|source| RootfsError::Folder { path: place.clone(), source })?;
    // One layer alone is no overlay: an empty one below makes it one.
    let options = format!("lowerdir={}:{}", lowers(layout, id, layers)?, empty(layout, id, "f")?);
    overlay(&layout.root, &place, &options, MountFlags::RDONLY)?;
    Ok(place)
}

/// More do not fit the page that mount options have, beside the paths of the snapshot.
const MOST_LAYERS: usize = 128;

/// The uppermost layer first, as overlayfs wants it; an image without layers stands on an empty one.
fn lowers(layout: &Layout, id: &str, layers: &[String]) -> Result<String, RootfsError> {
    if layers.is_empty() {
        return empty(layout, id, "e");
    }
    if layers.len() > MOST_LAYERS {
        return Err(RootfsError::TooManyLayers { layers: layers.len() });
    }
    let mut names = Vec::new();
    for layer in layers.iter().rev() {
        if !layout.layer_path(layer).is_dir() {
            return Err(RootfsError::MissingLayer(layer.clone()));
        }
        names.push(layout.layer(layer).display().to_string());
    }
    Ok(names.join(":"))
}

/// An empty folder of the snapshot's own.
fn empty(layout: &Layout, id: &str, name: &str) -> Result<String, RootfsError> {
    let path = layout.snapshot(id).join(name);
    fs::create_dir_all(&path).map_err(|source| RootfsError::Folder { path, source })?;
    Ok(format!("s/{id}/{name}"))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), RootfsError> {
    use std::os::unix::fs::PermissionsExt;
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set.map_err(|source| RootfsError::Folder { path: path.to_owned(), source })
}

/// Mounts with paths relative to the store, on a thread with a working folder of its own: many layers fit one page.
fn overlay(root: &Path, place: &Path, options: &str, flags: MountFlags) -> Result<(), RootfsError> {
    let work = || -> io::Result<()> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
        std::env::set_current_dir(root)?;
        let options = std::ffi::CString::new(options)?;
        mount("overlay", place, "overlay", flags, &*options)?;
        Ok(())
    };
    let mounted = std::thread::scope(|scope| scope.spawn(work).join());
    let mounted = mounted.unwrap_or_else(|_| Err(io::Error::other("the mounting thread panicked")));
    mounted.map_err(|source| RootfsError::Mount { path: place.to_owned(), source })
}

/// Unmounts and deletes all that container `id` had.
pub(super) fn remove(layout: &Layout, id: &str) -> Result<(), RootfsError> {
    let snapshot = layout.snapshot(id);
    let entries = match fs::read_dir(&snapshot) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(RootfsError::Folder { path: snapshot, source }),
        Ok(entries) => entries,
    };
    for entry in entries {
        let path = entry.map_err(|source| RootfsError::Folder { path: snapshot.clone(), source })?.path();
        while is_mounted(&path) {
            unmount(&path, UnmountFlags::DETACH)
                .map_err(|error| RootfsError::Unmount { path: path.clone(), source: error.into() })?;
        }
    }
    fs::remove_dir_all(&snapshot).map_err(|source| RootfsError::Folder { path: snapshot, source })
}

/// A mount's root is on another device than the folder that it covers.
fn is_mounted(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::symlink_metadata(path).map(|found| found.dev());
    match (device(path), path.parent().map(device)) {
        (Ok(own), Some(Ok(parent))) => own != parent,
        // Not there, so not mounted.
        _ => false,
    }
}

/// Bytes and inodes below a container's writable folder.
pub(super) fn usage(layout: &Layout, id: &str) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let (mut bytes, mut inodes) = (0, 0);
    let mut folders = vec![layout.snapshot(id).join("u")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let found = entry.metadata()?;
            bytes += found.blocks() * 512;
            inodes += 1;
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok((bytes, inodes))
}
