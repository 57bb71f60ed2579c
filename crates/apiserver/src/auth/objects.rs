//! The live objects that authentication, authorization and admission look at.
//!
//! The registry implements [`Objects`] over its watch cache; [`Memory`] does so for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use serde_json::Value;

/// What happened to one object.
#[derive(Clone, Debug)]
pub enum Change {
    /// Created or updated.
    Put(Arc<Value>),
    /// Deleted; the last state.
    Delete(Arc<Value>),
    /// Everything that existed when the watch began has been delivered.
    Synced,
}

/// Reads objects without authorization: only for decisions, never for answers.
///
/// 1. `group` and `resource` name a resource as in discovery; `namespace` is empty for cluster-scoped ones and, in
///    [`Objects::list`], for all namespaces.
/// 2. Reads are no older than the last write that this process acknowledged.
/// 3. `watch` delivers what exists as `Put`, then `Synced`, then each change in order; it ends only with the server.
#[async_trait]
pub trait Objects: Send + Sync {
    async fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    async fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>>;
    fn watch(&self, group: &str, resource: &str) -> BoxStream<'static, Change>;
}

/// Objects in memory.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<MemoryState>>);

#[derive(Default)]
struct MemoryState {
    objects: BTreeMap<Key, Arc<Value>>,
    watchers: Vec<(String, String, mpsc::UnboundedSender<Change>)>,
}

/// Group, resource, namespace, name.
type Key = (String, String, String, String);

impl Memory {
    pub fn put(&self, group: &str, resource: &str, object: Value) {
        let (object, mut state) = (Arc::new(object), self.0.lock());
        state.objects.insert(key(group, resource, &object), object.clone());
        state.tell(group, resource, &Change::Put(object));
    }

    pub fn delete(&self, group: &str, resource: &str, namespace: &str, name: &str) {
        let mut state = self.0.lock();
        let key = (group.to_owned(), resource.to_owned(), namespace.to_owned(), name.to_owned());
        if let Some(object) = state.objects.remove(&key) {
            state.tell(group, resource, &Change::Delete(object));
        }
    }
}

impl MemoryState {
    fn tell(&mut self, group: &str, resource: &str, change: &Change) {
        // A watcher whose stream was dropped is forgotten.
        self.watchers.retain(|(g, r, sender)| {
            g != group || r != resource || sender.unbounded_send(change.clone()).is_ok()
        });
    }

    fn of(&self, group: &str, resource: &str) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter().filter(move |(key, _)| key.0 == group && key.1 == resource)
    }
}

fn key(group: &str, resource: &str, object: &Value) -> Key {
    let meta = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (group.to_owned(), resource.to_owned(), meta("namespace"), meta("name"))
}

#[async_trait]
impl Objects for Memory {
    async fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (group.to_owned(), resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.0.lock().objects.get(&key).cloned()
    }

    async fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let state = self.0.lock();
        let here = |key: &Key| namespace.is_empty() || key.2 == namespace;
        state.of(group, resource).filter(|(key, _)| here(key)).map(|(_, object)| object.clone()).collect()
    }

    fn watch(&self, group: &str, resource: &str) -> BoxStream<'static, Change> {
        let (sender, receiver) = mpsc::unbounded();
        let mut state = self.0.lock();
        let mut first: Vec<Change> =
            state.of(group, resource).map(|(_, object)| Change::Put(object.clone())).collect();
        first.push(Change::Synced);
        state.watchers.push((group.to_owned(), resource.to_owned(), sender));
        futures::stream::iter(first).chain(receiver).boxed()
    }
}
