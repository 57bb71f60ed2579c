//! Who has to be woken for which key.
//!
//! A watcher keeps no queue of its own: it remembers from which revision on it has something undelivered and reads
//! that from the log when it is polled. A slow watcher therefore costs nothing, and one whose keys do not change is
//! never woken and never lags.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::index::Commit;
use crate::Revision;

/// One watcher's side of the hub.
#[derive(Debug)]
pub(super) struct Waiter {
    pub prefix: Bytes,
    /// Earlier changes are not wanted.
    pub min: Revision,
    pub pending: Mutex<Pending>,
    pub wake: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The log from here on holds something undelivered.
    pub from: Option<Revision>,
    /// A progress notification was asked for.
    pub progress: bool,
    pub closed: bool,
}

/// All watchers by their prefix; there are many watchers but few prefixes.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    by_prefix: BTreeMap<Bytes, Vec<Arc<Waiter>>>,
    closed: bool,
}

impl Watchers {
    pub fn add(&mut self, waiter: Arc<Waiter>) {
        waiter.pending.lock().closed = self.closed;
        self.by_prefix.entry(waiter.prefix.clone()).or_default().push(waiter);
    }

    pub fn remove(&mut self, waiter: &Arc<Waiter>) {
        let Some(same_prefix) = self.by_prefix.get_mut(&waiter.prefix) else { return };
        same_prefix.retain(|other| !Arc::ptr_eq(other, waiter));
        if same_prefix.is_empty() {
            self.by_prefix.remove(&waiter.prefix);
        }
    }

    /// Wakes those that the commits concern. The caller still holds the index's write lock.
    pub fn publish(&self, commits: &[Arc<Commit>]) {
        for (prefix, waiters) in &self.by_prefix {
            let concerns = |commit: &&Arc<Commit>| commit.events.iter().any(|e| e.kv.key.starts_with(prefix));
            // The last concerned commit decides for watchers that start in the future.
            let first = commits.iter().find(concerns).map(|commit| commit.revision);
            let last = commits.iter().rev().find(concerns).map(|commit| commit.revision);
            let (Some(first), Some(last)) = (first, last) else { continue };
            for waiter in waiters.iter().filter(|waiter| last >= waiter.min) {
                waiter.offer(first.max(waiter.min));
            }
        }
    }

    pub fn close(&mut self) {
        self.closed = true;
        for waiter in self.by_prefix.values().flatten() {
            waiter.pending.lock().closed = true;
            waiter.wake.notify_one();
        }
    }
}

impl Waiter {
    pub fn request_progress(&self) {
        self.pending.lock().progress = true;
        self.wake.notify_one();
    }

    fn offer(&self, from: Revision) {
        let mut pending = self.pending.lock();
        if pending.from.is_none() {
            pending.from = Some(from);
            self.wake.notify_one();
        }
    }
}
