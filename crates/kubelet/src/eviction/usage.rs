//! What each pod uses now.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use cri::v1 as pb;
use k8s_openapi::api::core::v1::Pod;

use crate::config::Config;
use crate::context::Context;
use crate::pod::sandbox_config::log_directory;
use crate::pods::{self, Uid};
use crate::runtime::{CriError, labels};
use crate::volumes::volume_dir;

/// Bytes by container.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub memory: BTreeMap<String, u64>,
    /// Writable layers and logs.
    pub disk: BTreeMap<String, u64>,
    /// emptyDir volumes on disk, by volume.
    pub volumes: BTreeMap<String, u64>,
}

impl Usage {
    pub fn memory_bytes(&self) -> u64 {
        self.memory.values().sum()
    }

    pub fn disk_bytes(&self) -> u64 {
        self.disk.values().sum::<u64>() + self.volumes.values().sum::<u64>()
    }
}

/// The running containers' figures, by pod.
pub(super) async fn of_containers(context: &Context) -> Result<HashMap<Uid, Usage>, CriError> {
    let mut pods: HashMap<Uid, Usage> = HashMap::new();
    for stats in context.cri.container_stats().await? {
        let Some(attributes) = &stats.attributes else { continue };
        let label = |key: &str| attributes.labels.get(key).cloned();
        let (Some(uid), Some(name)) = (label(labels::POD_UID), label(labels::CONTAINER_NAME)) else {
            continue;
        };
        let usage = pods.entry(uid).or_default();
        usage.memory.insert(name.clone(), memory(&stats));
        usage.disk.insert(name, layer(&stats));
    }
    Ok(pods)
}

fn memory(stats: &pb::ContainerStats) -> u64 {
    stats.memory.as_ref().and_then(|m| m.working_set_bytes.as_ref()).map_or(0, |v| v.value)
}

fn layer(stats: &pb::ContainerStats) -> u64 {
    stats.writable_layer.as_ref().and_then(|l| l.used_bytes.as_ref()).map_or(0, |v| v.value)
}

/// Adds what lies in the pod's folders. Walks them: the caller decides for which pods that is worth it.
pub(super) fn add_folders(config: &Config, pod: &Pod, usage: &mut Usage) {
    let logs = log_directory(config, pod);
    for container in pods::init_containers(pod).iter().chain(pods::containers(pod)) {
        *usage.disk.entry(container.name.clone()).or_default() += bytes_below(&logs.join(&container.name));
    }
    for volume in pods::spec(pod).volumes.iter().flatten() {
        if volume.empty_dir.as_ref().is_some_and(|source| source.medium.as_deref() != Some("Memory")) {
            let folder = volume_dir(&config.root, pods::uid(pod), "empty-dir", &volume.name);
            usage.volumes.insert(volume.name.clone(), bytes_below(&folder));
        }
    }
}

/// Blocks that files take, as `du` counts them. What cannot be looked at, or goes away meanwhile, takes none.
pub(super) fn bytes_below(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let mut bytes = 0;
    for entry in entries.flatten() {
        let Ok(found) = entry.metadata() else { continue };
        bytes += found.blocks() * 512;
        if found.is_dir() {
            bytes += bytes_below(&entry.path());
        }
    }
    bytes
}
