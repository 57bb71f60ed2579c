//! The live objects as authentication, authorization and admission look at them: the watch cache, decoded on demand.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::Value;

use super::{Registry, Storage};
use crate::auth::{Change, Objects};
use crate::cache::{Entry, EventType, Selection, Watcher};

/// [`Objects`] over the registry.
#[derive(Clone)]
pub struct LiveObjects(pub Arc<Registry>);

impl LiveObjects {
    async fn caught_up(&self, group: &str, resource: &str) -> Option<Arc<Storage>> {
        let storage = self.0.storage(group, resource)?;
        match storage.catch_up().await {
            Ok(()) => Some(storage),
            Err(error) => {
                // Who decides by this sees nothing and so grants nothing.
                tracing::error!(%error, group, resource, "cannot read for a decision");
                None
            }
        }
    }
}

#[async_trait]
impl Objects for LiveObjects {
    async fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let storage = self.caught_up(group, resource).await?;
        storage.cache.get(namespace, name).map(decoded)
    }

    async fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some(storage) = self.caught_up(group, resource).await else { return Vec::new() };
        let selection = Selection::everything(namespace, storage.namespaced);
        storage.cache.list(&selection, 0).entries.into_iter().map(decoded).collect()
    }

    fn watch(&self, group: &str, resource: &str) -> BoxStream<'static, Change> {
        let Some(storage) = self.0.storage(group, resource) else {
            return stream::iter([Change::Synced]).chain(stream::pending()).boxed();
        };
        let (first, watcher) = begin(&storage);
        stream::iter(first).chain(follow(storage, watcher)).boxed()
    }
}

fn decoded(entry: Arc<Entry>) -> Arc<Value> {
    Arc::new(entry.value())
}

fn begin(storage: &Storage) -> (Vec<Change>, Watcher) {
    let (snapshot, watcher) = storage.cache.list_and_watch(Selection::everything("", storage.namespaced));
    let mut changes: Vec<Change> =
        snapshot.entries.into_iter().map(|entry| Change::Put(decoded(entry))).collect();
    changes.push(Change::Synced);
    (changes, watcher)
}

fn follow(storage: Arc<Storage>, watcher: Watcher) -> impl futures::Stream<Item = Change> + Send {
    let batches = stream::unfold((storage, watcher), |(storage, mut watcher)| async move {
        watcher.changed().await;
        match watcher.take() {
            Ok(taken) => {
                let changes = taken.seen.into_iter().map(|(_, event, entry)| told(event, entry)).collect();
                Some((changes, (storage, watcher)))
            }
            // So far behind that the history is gone: begin again, puts are idempotent.
            Err(_) => {
                let (changes, watcher) = begin(&storage);
                Some((changes, (storage, watcher)))
            }
        }
    });
    batches.flat_map(|changes: Vec<Change>| stream::iter(changes))
}

fn told(event: EventType, entry: Arc<Entry>) -> Change {
    match event {
        EventType::Added | EventType::Modified => Change::Put(decoded(entry)),
        EventType::Deleted => Change::Delete(decoded(entry)),
    }
}
