//! fsGroup: a volume's files belong to the pod's group.
//!
//! Upstream: pkg/volume/volume_linux.go.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

/// When a volume's files are given to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangePolicy {
    Always,
    /// Only if the folder itself is not the group's already: large volumes start fast.
    OnRootMismatch,
}

impl ChangePolicy {
    pub fn of(pod: &Pod) -> Self {
        let context = crate::pods::spec(pod).security_context.as_ref();
        match context.and_then(|context| context.fs_group_change_policy.as_deref()) {
            Some("OnRootMismatch") => Self::OnRootMismatch,
            _ => Self::Always,
        }
    }
}

/// Gives the volume at `path` to `group`, if the policy asks for it.
pub(crate) fn apply(path: &Path, group: u32, policy: ChangePolicy) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    let settled = meta.gid() == group && meta.permissions().mode() & 0o2770 == 0o2770;
    if policy == ChangePolicy::OnRootMismatch && settled { Ok(()) } else { give(path, group) }
}

/// Gives everything below `path` to `group`: files group-readable (and writable), folders with the group sticking.
pub(crate) fn give(path: &Path, group: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let wider = if meta.is_dir() { 0o2770 } else { 0o660 };
    fs::set_permissions(path, fs::Permissions::from_mode(meta.permissions().mode() | wider))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group)?;
        }
    }
    Ok(())
}
