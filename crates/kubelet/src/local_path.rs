//! Removes the folders of local-path volumes of this node that are released and to be deleted, and says so.
//!
//! The other half is the provisioner's: see `claims::local_path`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use claims::local_path;
use client::{BoxError, Controller, Hub, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{Node, PersistentVolume};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::context::Context;
use crate::volumes::claims::is_reachable;

#[derive(Debug, thiserror::Error)]
#[error("cannot remove {path:?}")]
struct RemoveError {
    path: PathBuf,
    source: io::Error,
}

struct Reconciler {
    client: Client,
    volumes: Store<PersistentVolume>,
    node: Store<Node>,
    name: String,
}

/// Follows the cluster's volumes.
pub(crate) async fn run(context: Arc<Context>) {
    let config = &context.config;
    let hub = Hub::new(
        config.client.clone(),
        config.clock.clone(),
        context.tasks.clone(),
        context.shutdown.clone(),
    );
    let (volumes, node) = (hub.store::<PersistentVolume>(), context.node.clone());
    if !(volumes.synced().await && node.synced().await) {
        return;
    }
    let all = volumes.clone();
    let reconciler = Reconciler {
        client: config.client.clone(),
        volumes: volumes.clone(),
        node: node.clone(),
        name: config.node_name.clone(),
    };
    Controller::new("local-path", &hub)
        .workers(1)
        .reconciles(&volumes)
        // A node that registers only now has folders of old.
        .watches(&node, move |change| match change {
            client::Change::Applied { old: None, .. } => {
                all.list().iter().map(|volume| Key::of(&**volume)).collect()
            }
            _ => Vec::new(),
        })
        .run(Arc::new(reconciler));
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let (Some(volume), Some(node)) =
            (self.volumes.get(key), self.node.get(&Key::new("", self.name.clone())))
        else {
            return Ok(Next::AwaitChange);
        };
        let ours = local_path::is_to_be_removed(&volume)
            && !local_path::is_removed(&volume)
            && is_reachable(&volume, &node);
        let Some(path) = local_path::folder(&volume).filter(|_| ours) else { return Ok(Next::AwaitChange) };
        remove(path).await?;
        let patch = json!({"metadata": {"uid": volume.metadata.uid}, "status": {"reason": local_path::FOLDER_REMOVED}});
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        match api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if !client::is_not_found(&error) => Err(error.into()),
            _ => Ok(Next::AwaitChange),
        }
    }
}

async fn remove(path: PathBuf) -> Result<(), BoxError> {
    let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RemoveError { path, source: error }),
        _ => Ok(()),
    });
    Ok(removed.await??)
}
