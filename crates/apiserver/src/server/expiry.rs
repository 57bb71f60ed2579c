//! The one kind of object that ends by itself: Events, an hour after their last change.
//!
//! Nothing is scanned: every change goes into a queue, which is in order of time by itself, and the task sleeps until
//! its head is due. Upstream uses leases of etcd.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store::Revision;

use super::Core;
use crate::cache::{Entry, Selection, Watcher};
use crate::registry::{Storage, keys};

struct Due {
    at: Duration,
    key: Bytes,
    /// A later change has an entry of its own.
    revision: Revision,
}

/// Runs until shutdown.
pub async fn expire_events(core: Arc<Core>) {
    let Some(events) = core.registry.storage("", "events") else { return };
    let ttl = Duration::from_secs(core.config.event_ttl_seconds);
    let (mut due, mut watcher) = begin(&core, &events, ttl);
    loop {
        let now = core.clock.monotonic();
        let wait = due.front().map_or(ttl, |first| first.at.saturating_sub(now));
        tokio::select! {
            () = watcher.changed() => match watcher.take() {
                Ok(taken) => due.extend(taken.seen.iter().map(|(.., entry)| in_queue(&core, &events, entry, ttl))),
                // Too far behind: what is there now gets a full life more.
                Err(_) => (due, watcher) = begin(&core, &events, ttl),
            },
            () = core.clock.sleep(wait) => expire(&core, &events, &mut due).await,
            () = core.shutdown.wait() => return,
        }
    }
}

fn begin(core: &Core, events: &Storage, ttl: Duration) -> (VecDeque<Due>, Watcher) {
    let (snapshot, watcher) = events.cache.list_and_watch(Selection::everything("", true));
    let due = snapshot.entries.iter().map(|entry| in_queue(core, events, entry, ttl)).collect();
    (due, watcher)
}

fn in_queue(core: &Core, events: &Storage, entry: &Entry, ttl: Duration) -> Due {
    Due {
        at: core.clock.monotonic() + ttl,
        key: keys::object(&events.prefix, &entry.index.namespace, &entry.index.name),
        revision: Revision(entry.revision),
    }
}

async fn expire(core: &Core, events: &Storage, due: &mut VecDeque<Due>) {
    let now = core.clock.monotonic();
    let count = due.iter().take_while(|first| first.at <= now).count();
    let dead: Vec<_> = due.drain(..count).map(|due| (due.key, due.revision)).collect();
    if dead.is_empty() {
        return;
    }
    if let Err(error) = store::expire(events.engine.as_ref(), dead).await {
        tracing::warn!(error = stdx::error_chain(&error), "cannot delete old events");
    }
}
