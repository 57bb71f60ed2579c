//! Hands what happens to the workers of the pods that it happens to.
//!
//! Upstream: pkg/kubelet/kubelet.go, syncLoop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Change, EventType};
use cri::v1 as pb;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use stdx::{Backoff, error_chain};
use tokio::sync::Notify;

use crate::admission;
use crate::context::Context;
use crate::pod::status::Verdict;
use crate::pod::worker::{Event, Handle, Worker};
use crate::pods::{self, Uid};
use crate::runtime::labels;

/// The workers by pod; shared with the HTTPS server, which looks up containers.
#[derive(Clone, Default)]
pub(crate) struct Workers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: Mutex<HashMap<Uid, Entry>>,
    /// Told whenever a worker has ended.
    ended: Arc<Notify>,
}

struct Entry {
    handle: Handle,
    pod: Arc<Pod>,
}

impl Workers {
    pub fn handle(&self, uid: &str) -> Option<Handle> {
        self.0.entries.lock().get(uid).map(|entry| entry.handle.clone())
    }

    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.0.entries.lock().values().map(|entry| entry.pod.clone()).collect()
    }

    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let mut found: Vec<_> = self
            .pods()
            .into_iter()
            .filter(|pod| pods::namespace(pod) == namespace && pods::name(pod) == name)
            .collect();
        // A pod that is being deleted may share its name with its successor.
        found.sort_by_key(|pod| pods::deletion_requested(pod).is_some());
        found.into_iter().next()
    }

    /// Wakes one worker; a pod without a worker has nothing to look at.
    pub fn look(&self, uid: &str) {
        self.send(uid, Event::Look);
    }

    /// Those whose pods come from manifests.
    pub fn static_pods(&self) -> Vec<Arc<Pod>> {
        self.pods().into_iter().filter(|pod| pods::is_static(pod)).collect()
    }

    /// What a pod was made from is gone: its worker leaves nothing of it.
    pub fn end(&self, uid: &str) {
        self.send(uid, Event::Gone);
    }

    /// Ends a pod at once, and says why.
    pub fn evict(&self, uid: &str, verdict: Verdict) {
        self.send(uid, Event::Evict(verdict));
    }

    pub fn ended(&self) -> Arc<Notify> {
        self.0.ended.clone()
    }

    fn look_all(&self) {
        for entry in self.0.entries.lock().values() {
            // Its worker has just ended: nothing to look at.
            let _ = entry.handle.events.send(Event::Look);
        }
    }

    fn send(&self, uid: &str, event: Event) {
        if let Some(entry) = self.0.entries.lock().get(uid) {
            // Its worker has just ended: nothing to tell.
            let _ = entry.handle.events.send(event);
        }
    }

    fn forget(&self, uid: &str) {
        self.0.entries.lock().remove(uid);
        self.0.ended.notify_one();
    }
}

/// Pods from the API, one worker each.
pub(crate) async fn follow_pods(context: Arc<Context>, workers: Workers) {
    let mut changes = context.pods.subscribe();
    while let Some(change) = changes.recv().await {
        match change {
            Change::Applied { new, .. } if !pods::is_mirror(&new) => apply(&context, &workers, new),
            Change::Applied { .. } => {}
            Change::Deleted(pod) => {
                workers.send(pods::uid(&pod), Event::Gone);
                context.statuses.forget(pods::uid(&pod));
            }
        }
    }
}

/// A pod is new or changed.
pub(crate) fn apply(context: &Arc<Context>, workers: &Workers, pod: Arc<Pod>) {
    let uid = pods::uid(&pod).to_owned();
    let known = {
        let mut entries = workers.0.entries.lock();
        match entries.get_mut(&uid) {
            Some(entry) => {
                entry.pod = pod.clone();
                Some(entry.handle.clone())
            }
            None => None,
        }
    };
    if let Some(handle) = known {
        // Its worker has just ended: the object will be gone at once.
        let _ = handle.events.send(Event::Pod(pod));
        return;
    }
    start(context, workers, uid, pod);
}

fn start(context: &Arc<Context>, workers: &Workers, uid: Uid, pod: Arc<Pod>) {
    let others = workers.pods();
    let (worker, handle) = Worker::new(context.clone(), pod.clone());
    if let Err(verdict) = admission::admit(context, &pod, &others) {
        let message = verdict.message.clone();
        context.pod_event(&pod, EventType::Warning, &verdict.reason, message);
        // The worker has just been made and listens.
        let _ = handle.events.send(Event::Reject(verdict));
    }
    workers.0.entries.lock().insert(uid.clone(), Entry { handle, pod: pod.clone() });
    let (workers, statuses, is_static) = (workers.clone(), context.statuses.clone(), pods::is_static(&pod));
    context.tasks.spawn("pod worker", async move {
        worker.run().await;
        tracing::debug!(uid, "pod worker ended");
        if is_static {
            statuses.forget(&uid);
        }
        workers.forget(&uid);
    });
}

/// The runtime's events; after a gap every worker looks once.
pub(crate) async fn follow_runtime(context: Arc<Context>, workers: Workers) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    loop {
        match context.cri.events().await {
            Ok(mut events) => {
                workers.look_all();
                context.node_changed.notify_one();
                while let Some(Ok(event)) = events.next().await {
                    backoff.reset();
                    if let Some(uid) = uid_of(event) {
                        workers.look(&uid);
                    }
                }
            }
            Err(error) => tracing::warn!(error = error_chain(&error), "no events from the runtime"),
        }
        context.node_changed.notify_one();
        context.config.clock.sleep(backoff.step()).await;
    }
}

fn uid_of(event: pb::ContainerEventResponse) -> Option<Uid> {
    let from_sandbox = event.pod_sandbox_status.and_then(|status| status.metadata).map(|meta| meta.uid);
    let from_sandbox = from_sandbox.filter(|uid| !uid.is_empty());
    from_sandbox.or_else(|| {
        event.containers_statuses.into_iter().find_map(|c| c.labels.get(labels::POD_UID).cloned())
    })
}
