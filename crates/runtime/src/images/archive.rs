//! Importing image archives: OCI layouts and what `docker save` writes, plain or compressed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex};
use serde::Deserialize;
use tar::{Archive, EntryType};

use super::add::{AddError, Layer, Parts, Plain, add, check_media_type, parse_manifest};
use super::layout::{Layout, LayoutError, Record};
use super::platform::{self, ARCHITECTURE};
use super::reference::{Reference, ReferenceError};
use super::unpack::below_root;

/// Why an archive could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    #[error("entry {path:?} leaves the archive")]
    EscapesRoot { path: PathBuf },
    #[error("no space left to unpack the archive")]
    DiskFull,
    #[error("this is no image archive: it has neither index.json nor manifest.json")]
    Unknown,
    #[error("{name} is not understood")]
    Json { name: &'static str, source: serde_json::Error },
    #[error("the archive names no image: give it a name")]
    Nameless,
    #[error(transparent)]
    Name(#[from] ReferenceError),
    #[error("the archive has no image for this machine ({0})")]
    Platform(&'static str),
    #[error("cannot add image {name}")]
    Add { name: String, source: AddError },
}

/// Unpacks the archive aside and adds every image in it; `said` hears each name as it is done.
pub(super) fn import(
    layout: &Layout,
    archive: &mut dyn Read,
    mut said: impl FnMut(&Record),
) -> Result<Vec<Record>, ImportError> {
    let scratch = layout.scratch()?;
    spread(archive, scratch.path())?;
    let folder = Folder(scratch.path());
    let images = if folder.0.join("index.json").exists() {
        folder.oci()?
    } else if folder.0.join("manifest.json").exists() {
        folder.docker()?
    } else {
        return Err(ImportError::Unknown);
    };
    let mut records = Vec::new();
    for parts in images {
        let name = parts.names.first().cloned().unwrap_or_default();
        let record = add(layout, parts).map_err(|source| ImportError::Add { name, source })?;
        said(&record);
        records.push(record);
    }
    Ok(records)
}

/// Writes the archive's files below `folder`; only files, and links among them, belong into an image archive.
fn spread(archive: &mut dyn Read, folder: &Path) -> Result<(), ImportError> {
    let mut plain = Plain::new(archive).map_err(ImportError::Read)?;
    let mut archive = Archive::new(&mut plain);
    for entry in archive.entries().map_err(ImportError::Read)? {
        let mut entry = entry.map_err(ImportError::Read)?;
        let given = entry.path().map_err(ImportError::Read)?.into_owned();
        let escapes = || ImportError::EscapesRoot { path: given.clone() };
        let path = folder.join(below_root(&given).ok_or_else(escapes)?);
        match entry.header().entry_type() {
            EntryType::Regular => {
                write(&mut entry, &path).map_err(write_failed)?;
            }
            // Older archives link a layer to the same layer of another image.
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name().map_err(ImportError::Read)?.ok_or_else(escapes)?.into_owned();
                let from = if entry.header().entry_type() == EntryType::Symlink {
                    path.parent().unwrap_or(folder)
                } else {
                    folder
                };
                link(&normal(&from.join(target)), &path, folder)
                    .map_err(|error| error.map_or_else(escapes, write_failed))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_failed(error: io::Error) -> ImportError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ImportError::DiskFull,
        _ => ImportError::Read(error),
    }
}

fn write(from: &mut dyn Read, path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    io::copy(from, &mut File::create(path)?)?;
    Ok(())
}

/// The path with its `..` resolved by name alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// A hard link within the folder; `None` is a target outside.
fn link(target: &Path, path: &Path, folder: &Path) -> Result<(), Option<io::Error>> {
    if !target.starts_with(folder) {
        return Err(None);
    }
    let link = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::hard_link(target, path)
    };
    link().map_err(Some)
}

/// One entry of docker's manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A spread archive.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn file(&self, name: &str) -> Result<PathBuf, ImportError> {
        let clean =
            below_root(Path::new(name)).ok_or_else(|| ImportError::EscapesRoot { path: name.into() })?;
        Ok(self.0.join(clean))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &'static str) -> Result<T, ImportError> {
        let bytes = fs::read(self.0.join(name)).map_err(ImportError::Read)?;
        serde_json::from_slice(&bytes).map_err(|source| ImportError::Json { name, source })
    }

    fn docker(&self) -> Result<Vec<Parts>, ImportError> {
        let saved: Vec<Saved> = self.json("manifest.json")?;
        let manifest = fs::read(self.0.join("manifest.json")).map_err(ImportError::Read)?;
        saved
            .into_iter()
            .map(|saved| {
                let layers =
                    saved.layers.iter().map(|name| Ok(Layer { path: self.file(name)?, digest: None }));
                Ok(Parts {
                    manifest: manifest.clone(),
                    config: fs::read(self.file(&saved.config)?).map_err(ImportError::Read)?,
                    layers: layers.collect::<Result<_, ImportError>>()?,
                    names: complete(saved.repo_tags.unwrap_or_default())?,
                    digests: Vec::new(),
                })
            })
            .collect()
    }

    fn oci(&self) -> Result<Vec<Parts>, ImportError> {
        let index: ImageIndex = self.json("index.json")?;
        let mut images = Vec::new();
        for descriptor in index.manifests().iter().filter(|found| platform::is_image(found)) {
            images.push(self.oci_image(descriptor, name_of(descriptor).ok_or(ImportError::Nameless)?)?);
        }
        Ok(images)
    }

    fn oci_image(&self, descriptor: &Descriptor, name: String) -> Result<Parts, ImportError> {
        let reference: Reference = name.parse()?;
        let failed = |source| ImportError::Add { name: name.clone(), source };
        let bytes = self.blob(descriptor).map_err(failed)?;
        if platform::is_index(descriptor.media_type()) {
            let inner: ImageIndex = serde_json::from_slice(&bytes)
                .map_err(|source| ImportError::Json { name: "the image index", source })?;
            let chosen = platform::choose(&inner).ok_or(ImportError::Platform(ARCHITECTURE))?;
            return self.oci_image(chosen, name.clone());
        }
        let manifest = parse_manifest(&bytes).map_err(failed)?;
        let mut layers = Vec::new();
        for layer in manifest.layers() {
            check_media_type(layer.media_type()).map_err(failed)?;
            let digest = layer.digest().to_string();
            layers.push(Layer { path: self.blob_path(&digest).map_err(failed)?, digest: Some(digest) });
        }
        let config = self.blob(manifest.config()).map_err(failed)?;
        let digests = vec![reference.with_digest(descriptor.digest().as_ref())];
        Ok(Parts { manifest: bytes, config, layers, names: vec![reference.to_string()], digests })
    }

    fn blob_path(&self, digest: &str) -> Result<PathBuf, AddError> {
        let missing = || AddError::Missing { digest: digest.to_owned() };
        if !super::reference::is_digest(digest) {
            return Err(missing());
        }
        let path = self.0.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        if path.is_file() { Ok(path) } else { Err(missing()) }
    }

    /// A small blob, checked.
    fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, AddError> {
        let digest = descriptor.digest().to_string();
        let path = self.blob_path(&digest)?;
        let bytes = fs::read(path).map_err(|source| AddError::Read { digest: digest.clone(), source })?;
        let found = super::digest::of(&bytes);
        if found == digest { Ok(bytes) } else { Err(AddError::Digest { expected: digest, found }) }
    }
}

/// containerd's annotation has the whole name; OCI's only has to have the tag.
fn name_of(descriptor: &Descriptor) -> Option<String> {
    let annotations = descriptor.annotations().as_ref()?;
    let whole = annotations.get("io.containerd.image.name");
    whole.or_else(|| annotations.get("org.opencontainers.image.ref.name")).cloned()
}

fn complete(names: Vec<String>) -> Result<Vec<String>, ImportError> {
    if names.is_empty() {
        return Err(ImportError::Nameless);
    }
    names.iter().map(|name| Ok(name.parse::<Reference>()?.to_string())).collect()
}
