//! Index and watchers behind one lock, as both engines use them.
//!
//! Order of locks: index, then watchers, then a waiter's `pending`.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

use super::index::{Commit, Index};
use super::watchers::{Pending, Waiter, Watchers};
use crate::{CompactError, Revision, Watch, WatchBatch, WatchError};

/// A batch ends with the commit that brings it to so many events, so that one poll holds the lock for a short time.
const BATCH_EVENTS: usize = 1000;

/// … or after so many commits, most of which did not concern the watcher.
const BATCH_COMMITS: usize = 20_000;

/// Compaction holds everyone up for so many commits at a time (about a millisecond).
const FORGET_COMMITS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Shared {
    index: RwLock<Index>,
    watchers: Mutex<Watchers>,
}

impl Shared {
    pub fn new(index: Index) -> Arc<Self> {
        Arc::new(Self { index: RwLock::new(index), watchers: Mutex::default() })
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read()
    }

    /// Makes commits visible, in order, and wakes their watchers.
    pub fn apply(&self, commits: &[Arc<Commit>]) {
        self.update(|_| commits.to_vec());
    }

    /// Decides on commits and makes them visible in one step.
    pub fn update(&self, decide: impl FnOnce(&Index) -> Vec<Arc<Commit>>) {
        let mut index = self.index.write();
        let commits = decide(&index);
        if commits.is_empty() {
            return;
        }
        for commit in &commits {
            index.apply(commit.clone());
        }
        self.watchers.lock().publish(&commits);
    }

    pub fn compact(&self, revision: Revision) -> Result<(), CompactError> {
        self.index.write().compact(revision)?;
        loop {
            // The lock is let go in between, and what was forgotten is freed without it.
            let forgotten = self.index.write().forget(FORGET_COMMITS);
            if forgotten.is_empty() {
                return Ok(());
            }
        }
    }

    /// Ends all watches.
    pub fn close(&self) {
        self.watchers.lock().close();
    }

    pub fn watch(self: &Arc<Self>, prefix: Bytes, from: Revision) -> Result<Watch, WatchError> {
        let waiter = self.register(prefix, from)?;
        let cursor = Cursor { shared: self.clone(), waiter: waiter.clone(), ended: false };
        let batches = stream::unfold(cursor, |mut cursor| async move {
            let batch = cursor.next().await?;
            Some((batch, cursor))
        });
        Ok(Watch::new(batches, move || waiter.request_progress()))
    }

    fn register(&self, prefix: Bytes, from: Revision) -> Result<Arc<Waiter>, WatchError> {
        let index = self.index.read();
        if from != Revision::ZERO && from <= index.compacted() {
            return Err(WatchError::Compacted { requested: from, compacted: index.compacted() });
        }
        let min = if from == Revision::ZERO { index.revision().next() } else { from };
        let pending = Pending { from: (min <= index.revision()).then_some(min), ..Pending::default() };
        let waiter = Arc::new(Waiter { prefix, min, pending: Mutex::new(pending), wake: Notify::new() });
        self.watchers.lock().add(waiter.clone());
        Ok(waiter)
    }

    /// What `waiter` has to be told now, if anything.
    fn collect(&self, waiter: &Waiter) -> Result<Option<WatchBatch>, WatchError> {
        let index = self.index.read();
        let mut pending = waiter.pending.lock();
        if let Some(from) = pending.from {
            let (batch, next) = gather(&index, &waiter.prefix, from)?;
            pending.from = next;
            if !batch.events.is_empty() {
                // It says how far the watch has come as well as an empty one would.
                pending.progress &= next.is_some();
                return Ok(Some(batch));
            }
            if next.is_some() {
                waiter.wake.notify_one();
                return Ok(None);
            }
        }
        if pending.closed {
            return Err(WatchError::Closed);
        }
        if std::mem::take(&mut pending.progress) {
            return Ok(Some(WatchBatch { events: Vec::new(), revision: index.revision() }));
        }
        Ok(None)
    }
}

/// A batch from the log, and where the next one starts if the log goes on.
fn gather(
    index: &Index,
    prefix: &Bytes,
    from: Revision,
) -> Result<(WatchBatch, Option<Revision>), WatchError> {
    if from <= index.compacted() {
        return Err(WatchError::Compacted { requested: from, compacted: index.compacted() });
    }
    let mut events = Vec::new();
    for (seen, commit) in index.commits_from(from).enumerate() {
        if events.len() >= BATCH_EVENTS || seen == BATCH_COMMITS {
            // Up to just before this commit; nothing lies between.
            let revision = Revision(commit.revision.0 - 1);
            return Ok((WatchBatch { events, revision }, Some(commit.revision)));
        }
        events.extend(commit.events.iter().filter(|event| event.kv.key.starts_with(prefix)).cloned());
    }
    Ok((WatchBatch { events, revision: index.revision() }, None))
}

/// The reading end of a watch.
struct Cursor {
    shared: Arc<Shared>,
    waiter: Arc<Waiter>,
    ended: bool,
}

impl Cursor {
    async fn next(&mut self) -> Option<Result<WatchBatch, WatchError>> {
        if self.ended {
            return None;
        }
        loop {
            match self.shared.collect(&self.waiter) {
                Ok(Some(batch)) => return Some(Ok(batch)),
                Ok(None) => self.waiter.wake.notified().await,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.watchers.lock().remove(&self.waiter);
    }
}
