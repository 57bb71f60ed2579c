//! A pod's volumes: made, kept up to date, and removed without leaving a mount.
//!
//! Upstream: pkg/volume; the same folders, so that either kubelet finds the other's. Differs: set-up is idempotent and
//! doubles as the update, so that a changed ConfigMap and a restarted kubelet take the same path.
//! Reading order: [`payload`], [`atomic`], [`host_path`], [`sub_path`], [`mounts`], [`set_up`], [`tear_down`].

pub(crate) mod atomic;
pub(crate) mod claims;
pub(crate) mod host_path;
pub(crate) mod mounts;
pub(crate) mod ownership;
pub(crate) mod payload;
pub(crate) mod set_up;
pub(crate) mod sub_path;
pub(crate) mod tear_down;

use std::path::{Path, PathBuf};

/// The folder of one pod.
pub(crate) fn pod_dir(root: &Path, uid: &str) -> PathBuf {
    root.join("pods").join(uid)
}

/// The folder of one volume; the plugin's name is upstream's.
pub(crate) fn volume_dir(root: &Path, uid: &str, plugin: &str, name: &str) -> PathBuf {
    pod_dir(root, uid).join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
}
