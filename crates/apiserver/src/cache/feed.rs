//! The one task that keeps all caches current: one watch on the store, one place where stored bytes are decoded.

use std::sync::Arc;

use bytes::Bytes;
use store::{Engine, Event, EventKind, KeyValue, Range, Revision};
use tokio::sync::watch;

use super::{Entry, ResourceCache};
use crate::error::{ApiError, Result};

/// Everything lies below this.
pub const ROOT: &str = "/registry/";
/// Where definitions of custom resources lie.
const DEFINITIONS: &[u8] = b"/registry/apiextensions.k8s.io/customresourcedefinitions/";

/// How far the caches have come. A clone sees the same progress.
#[derive(Clone)]
pub struct Feed(Arc<watch::Sender<u64>>);

/// Where a key belongs and how its value is read. The registry implements it.
pub trait Sink: Send + Sync + 'static {
    /// The cache and the key in it; none for keys that are no objects.
    fn route(&self, key: &[u8]) -> Option<(Arc<ResourceCache>, String)>;
    /// Decodes a stored value. None (and a log line) if it cannot be read.
    fn entry(&self, kv: &KeyValue) -> Option<Arc<Entry>>;
    /// All caches, to be filled at start.
    fn caches(&self) -> Vec<Arc<ResourceCache>>;
    /// What a key holds may define resources: called before anybody sees the change.
    fn define(&self, key: &[u8], now: Option<&KeyValue>);
    /// All keys that may define resources: what others defined is gone.
    fn keep_definitions(&self, keys: &[&[u8]]);
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Feed {
    /// Everything up to here has been applied to the caches.
    pub fn revision(&self) -> u64 {
        *self.0.borrow()
    }

    /// Returns once everything up to `revision` has been applied.
    pub async fn wait_for(&self, revision: u64) {
        let mut receiver = self.0.subscribe();
        // The sender lives in self.
        let _ = receiver.wait_for(|current| *current >= revision).await;
    }

    /// A receiver that sees the progress.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Fills the caches and says where the store stood.
    pub async fn load(&self, store: &dyn Engine, sink: &dyn Sink) -> Result<Revision> {
        let all = store
            .range(Range::prefix(ROOT))
            .await
            .map_err(|error| ApiError::internal(stdx::error_chain(&error)))?;
        // Resources first: where objects belong depends on them, whatever the order of keys.
        let definitions = all.kvs.iter().filter(|kv| kv.key.starts_with(DEFINITIONS));
        sink.keep_definitions(&definitions.clone().map(|kv| kv.key.as_ref()).collect::<Vec<_>>());
        definitions.for_each(|kv| sink.define(&kv.key, Some(kv)));
        let mut routed: Vec<(Arc<ResourceCache>, Vec<Arc<Entry>>)> =
            sink.caches().into_iter().map(|cache| (cache, Vec::new())).collect();
        for kv in &all.kvs {
            let Some((cache, _)) = sink.route(&kv.key) else { continue };
            let Some(entry) = sink.entry(kv) else { continue };
            if let Some((_, entries)) = routed.iter_mut().find(|(c, _)| Arc::ptr_eq(c, &cache)) {
                entries.push(entry);
            }
        }
        for (cache, entries) in routed {
            cache.load(entries, all.revision.0);
        }
        self.0.send_replace(all.revision.0);
        Ok(all.revision)
    }

    /// Follows the store until the watch ends; says why it did.
    pub async fn follow(&self, store: &dyn Engine, sink: &dyn Sink, from: Revision) -> store::WatchError {
        let mut watch = match store.watch(Bytes::from_static(ROOT.as_bytes()), from.next()).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        loop {
            match watch.next().await {
                Some(Ok(batch)) => {
                    for event in &batch.events {
                        apply(sink, event);
                    }
                    self.0.send_if_modified(|current| {
                        let rises = batch.revision.0 > *current;
                        *current = (*current).max(batch.revision.0);
                        rises
                    });
                }
                Some(Err(error)) => return error,
                None => return store::WatchError::Closed,
            }
        }
    }
}

fn apply(sink: &dyn Sink, event: &Event) {
    if event.kv.key.starts_with(DEFINITIONS) {
        sink.define(&event.kv.key, (event.kind == EventKind::Put).then_some(&event.kv));
    }
    let Some((cache, key)) = sink.route(&event.kv.key) else { return };
    let revision = event.revision().0;
    match event.kind {
        EventKind::Delete => cache.apply(&key, None, revision),
        EventKind::Put => {
            if let Some(entry) = sink.entry(&event.kv) {
                cache.apply(&key, Some(entry), revision);
            }
        }
    }
}
