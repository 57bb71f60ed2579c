//! What a former life of this kubelet left behind: sandboxes, containers and folders of pods that are no more.
//!
//! Upstream: pkg/kubelet/kubelet_pods.go, HandlePodCleanups.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use stdx::error_chain;

use crate::context::Context;
use crate::pods::{self, Uid};
use crate::runtime::{CriError, labels};
use crate::volumes::tear_down;

/// Orphans have had their notice: this is all the time that they get.
const GRACE: Duration = Duration::from_secs(2);

/// Runs once, when the pods of this node are known.
pub(crate) async fn clean_up(context: &Context, kept: &[Uid]) {
    if !context.pods.synced().await {
        return;
    }
    let mut known: HashSet<Uid> = context.pods.list().iter().map(|pod| pods::uid(pod).to_owned()).collect();
    known.extend(kept.iter().cloned());
    match clean_runtime(context, &known).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "orphaned pods removed"),
        Err(error) => tracing::warn!(error = error_chain(&error), "orphaned pods not removed"),
    }
    clean_folder(&context.config.root.join("pods"), &known, |name| name.to_owned());
    clean_folder(&context.config.logs, &known, |name| name.rsplit('_').next().unwrap_or_default().to_owned());
}

async fn clean_runtime(context: &Context, known: &HashSet<Uid>) -> Result<usize, CriError> {
    let mut orphans = HashSet::new();
    for sandbox in context.cri.sandboxes().await? {
        orphans.extend(sandbox.labels.get(labels::POD_UID).filter(|uid| !known.contains(*uid)).cloned());
    }
    for container in context.cri.containers().await? {
        orphans.extend(container.labels.get(labels::POD_UID).filter(|uid| !known.contains(*uid)).cloned());
    }
    for uid in &orphans {
        let runtime = context.cri.pod(uid).await?;
        for record in runtime.running() {
            context.cri.stop(&record.id, GRACE).await?;
        }
        crate::pod::kill::remove(context, &runtime).await?;
    }
    Ok(orphans.len())
}

fn clean_folder(folder: &Path, known: &HashSet<Uid>, uid_of: impl Fn(&str) -> String) {
    // Without the folder there are no orphans in it.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if known.contains(&uid_of(&name)) {
            continue;
        }
        if let Err(error) = tear_down::remove(&entry.path()) {
            tracing::warn!(path = ?entry.path(), error = error_chain(&error), "orphaned folder not removed");
        }
    }
}
