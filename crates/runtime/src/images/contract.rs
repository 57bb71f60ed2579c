//! What sandboxes and containers ask of the image store.

use std::collections::HashSet;
use std::path::PathBuf;

use async_trait::async_trait;
use cri::v1;

/// Everything that sandboxes and containers ask of the image store. Every call is idempotent.
#[async_trait]
pub trait Images: Send + Sync {
    /// Mounts a writable root file system of `image` (any name, digest or id) for the container `id`.
    async fn prepare_rootfs(&self, image: &str, id: &str) -> Result<Rootfs, Error>;
    /// Unmounts and deletes what [`Images::prepare_rootfs`] made; nothing to do is no error.
    async fn remove_rootfs(&self, id: &str) -> Result<(), Error>;
    /// Mounts `image` read-only for a volume of the container `id`; undone by [`Images::remove_rootfs`].
    async fn prepare_volume(&self, image: &str, id: &str) -> Result<PathBuf, Error>;
    /// Bytes and inodes of a container's writable layer.
    async fn rootfs_usage(&self, id: &str) -> Result<Usage, Error>;
    /// Removes every root file system whose container is not in `live`: what a crash left behind.
    async fn retain(&self, live: &HashSet<String>) -> Result<(), Error>;

    async fn list(&self, filter: Option<&str>) -> Result<Vec<v1::Image>, Error>;
    async fn status(&self, image: &str) -> Result<Option<v1::Image>, Error>;
    /// Fetches `image` and answers its id.
    async fn pull(&self, image: &v1::ImageSpec, auth: Option<&v1::AuthConfig>) -> Result<String, Error>;
    async fn remove(&self, image: &str) -> Result<(), Error>;
    async fn fs_info(&self) -> Result<v1::ImageFsInfoResponse, Error>;
}

/// A mounted root file system and what its image says about running it.
#[derive(Clone, Debug, Default)]
pub struct Rootfs {
    pub path: PathBuf,
    /// The image's id (digest of its configuration).
    pub image_id: String,
    /// `name@sha256:…`, or the id where the image has no digest of a registry.
    pub image_ref: String,
    /// `KEY=value`.
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// Empty for `/`.
    pub working_dir: String,
    /// `user`, `user:group`, by name or number; empty for root.
    pub user: String,
    /// `SIGTERM`, `15`, or empty.
    pub stop_signal: String,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub bytes: u64,
    pub inodes: u64,
}

/// Why the image store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such image: {image}")]
    NotFound { image: String },
    #[error("invalid image reference {image:?}")]
    InvalidReference { image: String },
    #[error("{step}")]
    Failed { step: String, source: Box<dyn std::error::Error + Send + Sync> },
}
