//! From blobs to an image: check digests, unpack layers, write the index.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::{ImageConfiguration, ImageManifest, MediaType};

use super::digest::{self, Hashing};
use super::garbage::Naming;
use super::layout::{Layout, LayoutError, Record};
use super::reference::is_digest;
use super::unpack::{UnpackError, unpack};

/// Why an image could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("blob {digest} is missing from the archive")]
    Missing { digest: String },
    #[error("blob {expected} has the digest {found}")]
    Digest { expected: String, found: String },
    #[error("layer {number} unpacks to {found} instead of {expected}")]
    DiffId { number: usize, expected: String, found: String },
    #[error("the image has {layers} layers but its configuration names {diff_ids}")]
    Layers { layers: usize, diff_ids: usize },
    #[error("{0:?} in the image's configuration is no digest")]
    NoDigest(String),
    #[error("no space left to store layer {number}")]
    DiskFull { number: usize },
    #[error("unsupported media type {0}")]
    MediaType(String),
    #[error("{what} is not understood")]
    Json { what: &'static str, source: serde_json::Error },
    #[error("cannot unpack layer {number}")]
    Unpack { number: usize, source: UnpackError },
    #[error("cannot read blob {digest}")]
    Read { digest: String, source: io::Error },
}

/// One layer as it came.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub path: PathBuf,
    /// None for layers of a docker archive, which names only what they unpack to.
    pub digest: Option<String>,
}

/// What an archive or a registry gave.
pub(super) struct Parts {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Layer>,
    pub names: Vec<String>,
    pub digests: Vec<String>,
}

pub(super) fn parse_manifest(bytes: &[u8]) -> Result<ImageManifest, AddError> {
    serde_json::from_slice(bytes).map_err(|source| AddError::Json { what: "the manifest", source })
}

/// Adds the image and gives its record.
pub(super) fn add(layout: &Layout, parts: Parts) -> Result<Record, AddError> {
    let naming = layout.naming()?;
    let diff_ids = diff_ids(&parts.config, parts.layers.len())?;
    let mut size = parts.config.len() as u64;
    for (number, (layer, diff_id)) in parts.layers.iter().zip(&diff_ids).enumerate() {
        size += add_layer(layout, number, layer, diff_id)?;
    }
    let Parts { manifest, config, names, digests, .. } = parts;
    commit(layout, naming, Named { manifest, config, names, digests }, diff_ids, size)
}

/// What the layers must unpack to, as the configuration says. These become names of folders, so that each is checked.
pub(super) fn diff_ids(config: &[u8], layers: usize) -> Result<Vec<String>, AddError> {
    let config: ImageConfiguration = serde_json::from_slice(config)
        .map_err(|source| AddError::Json { what: "the image's configuration", source })?;
    let diff_ids = config.rootfs().diff_ids().clone();
    if diff_ids.len() != layers {
        return Err(AddError::Layers { layers, diff_ids: diff_ids.len() });
    }
    match diff_ids.iter().find(|diff_id| !is_digest(diff_id)) {
        Some(bad) => Err(AddError::NoDigest(bad.clone())),
        None => Ok(diff_ids),
    }
}

/// An image whose layers are in place.
pub(super) struct Named {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub names: Vec<String>,
    pub digests: Vec<String>,
}

/// Writes the image into the index: from here on it is there.
pub(super) fn commit(
    layout: &Layout,
    naming: Naming,
    image: Named,
    layers: Vec<String>,
    size: u64,
) -> Result<Record, AddError> {
    let (id, manifest) = (digest::of(&image.config), digest::of(&image.manifest));
    for (digest, bytes) in [(&id, &image.config), (&manifest, &image.manifest)] {
        layout.write(&format!("blobs/{}", digest.trim_start_matches("sha256:")), bytes)?;
    }
    let record = Record { id, manifest, names: image.names, digests: image.digests, layers, size };
    let lock = layout.lock()?;
    let mut index = layout.index()?;
    index.insert(record.clone());
    layout.write_index(&index, &lock)?;
    drop((lock, naming));
    // A removal in the meantime left its garbage to us.
    layout.collect_garbage()?;
    Ok(index.images.get(&record.id).cloned().unwrap_or(record))
}

/// Unpacks a layer aside, checks it, and puts it in place; one that is there is only checked for its size.
pub(super) fn add_layer(
    layout: &Layout,
    number: usize,
    layer: &Layer,
    diff_id: &str,
) -> Result<u64, AddError> {
    let read = |source| AddError::Read { digest: layer.digest.clone().unwrap_or_default(), source };
    let size = fs::metadata(&layer.path).map_err(read)?.len();
    let place = layout.layer_path(diff_id);
    if place.exists() {
        return Ok(size);
    }
    let scratch = layout.scratch()?;
    let folder = scratch.path().join("layer");
    fs::create_dir(&folder).map_err(read)?;
    let compressed = Hashing::new(BufReader::with_capacity(1 << 18, File::open(&layer.path).map_err(read)?));
    let mut tar = Hashing::new(Plain::new(compressed).map_err(read)?);
    unpack(&mut tar, &folder).map_err(|source| AddError::Unpack { number, source })?;
    // What follows the last entry counts too.
    io::copy(&mut tar, &mut io::sink()).map_err(read)?;
    let (compressed, found) = tar.into_parts();
    if found != *diff_id {
        return Err(AddError::DiffId { number, expected: diff_id.to_owned(), found });
    }
    if let Some(expected) = &layer.digest {
        let (found, _) = compressed.into_inner().finish().map_err(read)?;
        if found != *expected {
            return Err(AddError::Digest { expected: expected.clone(), found });
        }
    }
    put_in_place(&folder, &place).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AddError::DiskFull { number },
        _ => read(source),
    })?;
    Ok(size)
}

/// Somebody else may have been faster with the same layer.
fn put_in_place(folder: &Path, place: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    // A machine that stops must not leave a layer with its name but without its content.
    rustix::fs::syncfs(File::open(folder)?)?;
    match fs::rename(folder, place) {
        Err(_) if place.is_dir() => Ok(()),
        result => result,
    }
}

/// A tar, whatever compresses it: told by its first bytes.
pub(super) enum Plain<R: Read> {
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<R>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<R>>>),
    Tar(BufReader<R>),
}

impl<R: Read> Plain<R> {
    pub fn new(inner: R) -> io::Result<Self> {
        let mut inner = BufReader::with_capacity(1 << 17, inner);
        let start = io::BufRead::fill_buf(&mut inner)?;
        Ok(match start {
            [0x1f, 0x8b, ..] => Self::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(inner))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd(Box::new(zstd::Decoder::with_buffer(inner)?)),
            _ => Self::Tar(inner),
        })
    }

    fn into_inner(self) -> R {
        match self {
            Self::Gzip(decoder) => decoder.into_inner().into_inner(),
            Self::Zstd(decoder) => decoder.finish().into_inner(),
            Self::Tar(inner) => inner.into_inner(),
        }
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Tar(inner) => inner.read(buffer),
        }
    }
}

/// Whether layers of this type can be read.
pub(super) fn check_media_type(media_type: &MediaType) -> Result<(), AddError> {
    let name = media_type.to_string();
    let known = name.contains("layer") || name.contains("rootfs.diff.tar");
    if known && !name.contains("encrypted") { Ok(()) } else { Err(AddError::MediaType(name)) }
}
