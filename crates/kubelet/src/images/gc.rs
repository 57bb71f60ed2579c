//! Removes unused images when the disk fills.
//!
//! Upstream: pkg/kubelet/images/image_gc_manager.go: above 85 % down to 80 %.

use std::collections::HashSet;
use std::path::Path;

use crate::runtime::Cri;

const HIGH_PERCENT: u64 = 85;

/// Unused images are removed only when the disk below `root` is fuller than upstream's threshold.
pub(crate) async fn collect(cri: &Cri, root: &Path) -> Result<usize, crate::runtime::CriError> {
    if !disk_is_full(root) {
        return Ok(0);
    }
    remove_unused(cri).await
}

/// Removes every image that no container was made from.
pub(crate) async fn remove_unused(cri: &Cri) -> Result<usize, crate::runtime::CriError> {
    let used: HashSet<String> = cri.containers().await?.into_iter().map(|c| c.image_ref).collect();
    let mut removed = 0;
    for image in cri.images().await? {
        let in_use = used.contains(&image.id) || image.repo_digests.iter().any(|d| used.contains(d));
        if !in_use && !image.pinned {
            cri.remove_image(&image.id).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// A disk that cannot be measured is not touched.
fn disk_is_full(root: &Path) -> bool {
    rustix::fs::statvfs(root).is_ok_and(|disk| {
        let used = disk.f_blocks.saturating_sub(disk.f_bfree);
        used * 100 >= disk.f_blocks * HIGH_PERCENT && disk.f_blocks > 0
    })
}
