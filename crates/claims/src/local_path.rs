//! Volumes that are folders on a node: what the provisioner and the kubelets agree on.
//!
//! The provisioner makes the PersistentVolume, with a hostPath and pinned to its node. The node's kubelet makes the
//! folder when a pod first mounts it, and removes it when the volume is released and to be deleted; it says so in
//! `status.reason`, and the provisioner deletes the object. So nothing is removed on the wrong node, nor forgotten when
//! the right one is away.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use crate::annotations::PROVISIONED_BY;

/// The provisioner's name, in classes and on volumes.
pub const PROVISIONER: &str = "dromon.io/local-path";
/// The class that a cluster without any is given.
pub const CLASS: &str = "standard";
/// In `status.reason`: nothing is left on the node.
pub const FOLDER_REMOVED: &str = "FolderRemoved";

/// The volume's name, as all provisioners choose it.
pub fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default())
}

/// The folder's name: tells people what is in it.
pub fn folder_name(volume: &str, namespace: &str, claim: &str) -> String {
    format!("{volume}_{namespace}_{claim}")
}

/// Whether the volume is one of these.
pub fn is_local_path(volume: &PersistentVolume) -> bool {
    let annotations = volume.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(PROVISIONED_BY)).is_some_and(|by| by == PROVISIONER)
}

/// Whether the volume is released, and its data is to go.
pub fn is_to_be_removed(volume: &PersistentVolume) -> bool {
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    is_local_path(volume) && policy == Some("Delete") && phase == Some("Released")
}

pub fn is_removed(volume: &PersistentVolume) -> bool {
    volume.status.as_ref().and_then(|status| status.reason.as_deref()) == Some(FOLDER_REMOVED)
}

/// The volume's folder. None unless it is one that the provisioner chose: no other path is ever made or removed.
pub fn folder(volume: &PersistentVolume) -> Option<PathBuf> {
    let spec = volume.spec.as_ref().filter(|_| is_local_path(volume))?;
    let reference = spec.claim_ref.as_ref()?;
    let name = folder_name(
        volume.metadata.name.as_deref()?,
        reference.namespace.as_deref()?,
        reference.name.as_deref()?,
    );
    let path = Path::new(&spec.host_path.as_ref()?.path);
    let plain = path.is_absolute() && path.components().all(|part| part != std::path::Component::ParentDir);
    (plain && path.file_name()? == name.as_str()).then(|| path.to_owned())
}
