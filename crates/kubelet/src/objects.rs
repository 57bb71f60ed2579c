//! The ConfigMaps and Secrets that this node's pods name, each watched by its name: a node may not list others.
//!
//! Upstream: pkg/kubelet/util/manager, watch-based. One watch an object, shared by all pods that name it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use client::{Key, Object};
use futures::TryStreamExt;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use stdx::{Backoff, Clock, Shutdown, Tasks, Trigger, error_chain};
use tokio::sync::watch;

use crate::pods::Uid;

/// Failures after which those who wait are told: the authorizer may learn of a pod a moment after its node does.
const PATIENCE: u32 = 5;

/// Called with the pods that an object's change concerns.
pub(crate) type Notify = Arc<dyn Fn(&Uid) + Send + Sync>;

/// What is known of one object.
enum Known<K> {
    Nothing,
    Failed(Arc<kube::Error>),
    Is(Option<Arc<K>>),
}

impl<K> Clone for Known<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::Is(object) => Self::Is(object.clone()),
        }
    }
}

/// An object could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to fetch {kind} {key}")]
pub(crate) struct FetchError {
    kind: &'static str,
    key: Key,
    source: Arc<kube::Error>,
}

pub(crate) struct Objects<K> {
    kind: &'static str,
    client: Client,
    clock: Clock,
    tasks: Tasks,
    shutdown: Shutdown,
    notify: Notify,
    entries: Arc<Mutex<HashMap<Key, Entry<K>>>>,
}

struct Entry<K> {
    users: HashSet<Uid>,
    known: watch::Receiver<Known<K>>,
    /// Dropping it ends the watch.
    _watch: Trigger,
}

impl<K> Objects<K>
where
    K: Object + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    pub fn new(
        kind: &'static str,
        client: Client,
        clock: Clock,
        tasks: Tasks,
        shutdown: Shutdown,
        notify: Notify,
    ) -> Self {
        Self { kind, client, clock, tasks, shutdown, notify, entries: Arc::default() }
    }

    /// The object as it is now; `None` if there is none. From now on its changes wake `user`.
    pub async fn get(&self, user: &Uid, key: &Key) -> Result<Option<Arc<K>>, FetchError> {
        let mut known = self.subscribe(user, key);
        let settled =
            known.wait_for(|known| !matches!(known, Known::Nothing)).await.map(|known| known.clone());
        match settled {
            Ok(Known::Is(object)) => Ok(object),
            Ok(Known::Failed(source)) => Err(FetchError { kind: self.kind, key: key.clone(), source }),
            // The watch only ends with the process: nobody will use the answer.
            Ok(Known::Nothing) | Err(_) => Ok(None),
        }
    }

    /// `user` is gone: what only it named is watched no longer.
    pub fn release(&self, user: &Uid) {
        self.entries.lock().retain(|_, entry| {
            entry.users.remove(user);
            !entry.users.is_empty()
        });
    }

    fn subscribe(&self, user: &Uid, key: &Key) -> watch::Receiver<Known<K>> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(key.clone()).or_insert_with(|| self.follow(key));
        entry.users.insert(user.clone());
        entry.known.clone()
    }

    fn follow(&self, key: &Key) -> Entry<K> {
        let (sender, known) = watch::channel(Known::Nothing);
        let (trigger, shutdown) = self.shutdown.child();
        let follower = Follower {
            api: Api::namespaced(self.client.clone(), &key.namespace),
            key: key.clone(),
            clock: self.clock.clone(),
            notify: self.notify.clone(),
            entries: self.entries.clone(),
            known: sender,
        };
        self.tasks.spawn("object watch", async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = follower.run() => {}
            }
        });
        Entry { users: HashSet::new(), known, _watch: trigger }
    }
}

struct Follower<K> {
    api: Api<K>,
    key: Key,
    clock: Clock,
    notify: Notify,
    entries: Arc<Mutex<HashMap<Key, Entry<K>>>>,
    known: watch::Sender<Known<K>>,
}

impl<K: Object> Follower<K> {
    async fn run(self) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(30));
        let mut failures = 0;
        loop {
            match self.list_and_watch().await {
                Ok(()) => {
                    backoff.reset();
                    failures = 0;
                }
                Err(error) => {
                    failures += 1;
                    tracing::debug!(object = %self.key, error = error_chain(&error), "object watch interrupted");
                    if failures >= PATIENCE && !matches!(*self.known.borrow(), Known::Is(_)) {
                        self.known.send_replace(Known::Failed(Arc::new(error)));
                    }
                    self.clock.sleep(backoff.step()).await;
                }
            }
        }
    }

    async fn list_and_watch(&self) -> kube::Result<()> {
        let selector = format!("metadata.name={}", self.key.name);
        let list = self.api.list(&ListParams::default().fields(&selector)).await?;
        let version = list.metadata.resource_version.clone().unwrap_or_default();
        self.publish(list.items.into_iter().next().map(Arc::new));
        let mut events = Box::pin(self.api.watch(&WatchParams::default().fields(&selector), &version).await?);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.publish(Some(Arc::new(object)))
                }
                WatchEvent::Deleted(_) => self.publish(None),
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        Ok(())
    }

    fn publish(&self, object: Option<Arc<K>>) {
        let version =
            |object: &Option<Arc<K>>| object.as_ref().and_then(|o| o.meta().resource_version.clone());
        let same = match &*self.known.borrow() {
            Known::Is(old) => version(old) == version(&object) && old.is_some() == object.is_some(),
            _ => false,
        };
        if same {
            return;
        }
        let first = matches!(*self.known.borrow(), Known::Nothing);
        self.known.send_replace(Known::Is(object));
        if first {
            return;
        }
        let users: Vec<Uid> =
            self.entries.lock().get(&self.key).map(|e| e.users.iter().cloned().collect()).unwrap_or_default();
        users.iter().for_each(|user| (self.notify)(user));
    }
}
