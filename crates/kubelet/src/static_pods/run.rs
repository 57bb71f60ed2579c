//! Follows the folder, the workers and the mirrors, and carries out what they ask for together.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::Changes;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use rustix::fs::inotify::WatchFlags;
use stdx::{Backoff, error_chain};
use tokio::sync::oneshot;

use super::folder::Manifests;
use super::plan::{is_current, plan};
use crate::context::Context;
use crate::pod_manager::{self, Workers};
use crate::pods::{self, Uid};
use crate::watch::FolderWatch;

/// A server that does not answer must not hold static pods back: it may be one of them.
const SERVER: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("cannot watch {folder:?}")]
    Watch { folder: PathBuf, source: io::Error },
    #[error("cannot read {folder:?}")]
    Read { folder: PathBuf, source: io::Error },
    #[error("cannot write the mirror of {pod}")]
    Mirror { pod: String, source: Box<kube::Error> },
}

/// Runs for as long as the kubelet does. `known` is told the pods that the folder held first: their containers are no
/// orphans.
pub(crate) async fn run(context: Arc<Context>, workers: Workers, known: oneshot::Sender<Vec<Uid>>) {
    let Some(folder) = context.config.manifests.clone() else {
        // Nobody waits any more: the kubelet is ending.
        let _ = known.send(Vec::new());
        return;
    };
    let mut follower = Follower {
        manifests: Manifests::new(folder, context.config.node_name.clone()),
        wanted: BTreeMap::new(),
        changes: context.pods.subscribe(),
        nodes: context.node.subscribe(),
        known: Some(known),
        context,
        workers,
    };
    follower.wait_for_server().await;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(20));
    loop {
        if let Err(error) = follower.follow(&mut backoff).await {
            tracing::warn!(error = error_chain(&error), "static pods not followed");
            follower.context.config.clock.sleep(backoff.step()).await;
        }
    }
}

struct Follower {
    context: Arc<Context>,
    workers: Workers,
    manifests: Manifests,
    wanted: BTreeMap<String, Arc<Pod>>,
    changes: Changes<Pod>,
    nodes: Changes<Node>,
    known: Option<oneshot::Sender<Vec<Uid>>>,
}

impl Follower {
    async fn wait_for_server(&self) {
        tokio::select! {
            _ = self.context.pods.synced() => {}
            () = self.context.config.clock.sleep(SERVER) => {}
        }
    }

    async fn follow(&mut self, backoff: &mut Backoff) -> Result<(), FollowError> {
        let folder = self.manifests.folder().to_owned();
        let watch = std::fs::create_dir_all(&folder).and_then(|()| FolderWatch::new(&folder, WHAT));
        let mut watch = watch.map_err(|source| FollowError::Watch { folder: folder.clone(), source })?;
        let ended = self.workers.ended();
        loop {
            self.read()?;
            self.look().await?;
            backoff.reset();
            tokio::select! {
                changed = watch.changed() => {
                    changed.map_err(|source| FollowError::Watch { folder: folder.clone(), source })?;
                }
                _ = self.changes.recv() => {}
                _ = self.nodes.recv() => {}
                _ = self.context.pods.synced(), if !self.context.pods.is_synced() => {}
                () = ended.notified() => {}
            }
            // One look answers all that has come meanwhile.
            while self.changes.try_recv().is_ok() {}
        }
    }

    fn read(&mut self) -> Result<(), FollowError> {
        let read = self.manifests.read(self.context.config.clock.now());
        self.wanted =
            read.map_err(|source| FollowError::Read { folder: self.manifests.folder().into(), source })?;
        if let Some(known) = self.known.take() {
            // Nobody waits any more: the kubelet is ending.
            let _ = known.send(self.wanted.values().map(|pod| pods::uid(pod).to_owned()).collect());
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), FollowError> {
        let running = self.workers.static_pods();
        let synced = self.context.pods.is_synced();
        let mirrors: Vec<Arc<Pod>> =
            self.context.pods.list().into_iter().filter(|pod| pods::is_mirror(pod)).collect();
        let plan = plan(&self.wanted, &running, synced.then_some(mirrors.as_slice()));
        for uid in plan.stop {
            self.workers.end(&uid);
        }
        for pod in plan.start {
            let pod = with_status(pod, &mirrors);
            pod_manager::apply(&self.context, &self.workers, pod);
        }
        for pod in self.wanted.values() {
            let mirror = mirrors.iter().find(|m| super::full_name(m) == super::full_name(pod));
            let mirror = mirror.filter(|m| is_current(m, pod) && pods::deletion_requested(m).is_none());
            self.context.statuses.mirrored(pods::uid(pod), mirror.map(Arc::as_ref));
        }
        for mirror in plan.delete {
            self.delete(&mirror).await?;
        }
        for pod in plan.mirror {
            self.create(&pod).await?;
        }
        Ok(())
    }

    async fn delete(&self, mirror: &Pod) -> Result<(), FollowError> {
        let api: Api<Pod> = Api::namespaced(self.context.config.client.clone(), pods::namespace(mirror));
        let only_this = Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None };
        let how = DeleteParams::default().grace_period(0).preconditions(only_this);
        match api.delete(pods::name(mirror), &how).await {
            Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => Ok(()),
            other => other.map(drop).map_err(|source| failed(mirror, source)),
        }
    }

    async fn create(&self, pod: &Pod) -> Result<(), FollowError> {
        // The owner's name and UID have to be told: as soon as the node is registered, this is looked at again.
        let Some(uid) = self.context.node.list().first().and_then(|node| node.metadata.uid.clone()) else {
            return Ok(());
        };
        let mut mirror = pod.clone();
        mirror.metadata.uid = None;
        mirror.status = None;
        let annotations = mirror.metadata.annotations.get_or_insert_default();
        annotations.insert(pods::CONFIG_MIRROR.into(), pods::uid(pod).into());
        mirror.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: self.context.config.node_name.clone(),
            uid,
            controller: Some(true),
            block_owner_deletion: None,
        }]);
        let api: Api<Pod> = Api::namespaced(self.context.config.client.clone(), pods::namespace(pod));
        match api.create(&PostParams::default(), &mirror).await {
            Err(error) if client::is_already_exists(&error) => Ok(()),
            other => other.map(drop).map_err(|source| failed(pod, source)),
        }
    }
}

const WHAT: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

fn failed(pod: &Pod, source: kube::Error) -> FollowError {
    FollowError::Mirror { pod: pods::described(pod), source: Box::new(source) }
}

/// What the mirror said before this kubelet started: times and counts go on from there.
fn with_status(pod: Arc<Pod>, mirrors: &[Arc<Pod>]) -> Arc<Pod> {
    let Some(mirror) = mirrors.iter().find(|mirror| is_current(mirror, &pod)) else { return pod };
    let mut pod = (*pod).clone();
    pod.status.clone_from(&mirror.status);
    Arc::new(pod)
}
