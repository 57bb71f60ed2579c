//! A place in a resource's history, and what is to be told from there on.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Change, Entry, EventType, ResourceCache, Selection};

/// Reads the history through a selection. Dropping it costs nothing.
pub struct Watcher {
    cache: Arc<ResourceCache>,
    next: u64,
    /// Changes up to here are not wanted: a watch may start in the future.
    after: u64,
    selection: Selection,
    newest: watch::Receiver<u64>,
}

/// The watcher was so slow that its place in the history is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost;

/// A change as this watcher sees it.
pub type Seen = (Arc<Change>, EventType, Arc<Entry>);

/// What a watcher took from the history.
pub struct Taken {
    pub seen: Vec<Seen>,
    /// Everything up to this revision has been taken, if that is so.
    pub complete: Option<u64>,
}

/// At most so many changes are taken from the history at once, so that its lock is held shortly.
const BATCH: usize = 256;

impl Watcher {
    pub(super) fn new(cache: Arc<ResourceCache>, next: u64, after: u64, selection: Selection) -> Self {
        let newest = cache.newest.subscribe();
        Self { cache, next, after, selection, newest }
    }

    /// Waits until there is something this watcher has not looked at.
    pub async fn changed(&mut self) {
        let next = self.next;
        // The sender lives in the cache that this watcher holds, so it cannot be gone.
        let _ = self.newest.wait_for(|newest| *newest > next).await;
    }

    /// What there is to tell now; may be nothing.
    pub fn take(&mut self) -> Result<Taken, Lost> {
        let delivered = self.cache.feed.revision();
        let changes = self.take_changes()?;
        // A full batch says nothing about what is behind it.
        let last = changes.last().map_or(0, |change| change.revision);
        let complete = (changes.len() < BATCH).then_some(delivered.max(last).max(self.after));
        let seen = changes
            .into_iter()
            .filter(|change| change.revision > self.after)
            .filter_map(|change| {
                let (event, entry) = change.seen_through(&self.selection)?;
                Some((change, event, entry))
            })
            .collect();
        Ok(Taken { seen, complete })
    }

    fn take_changes(&mut self) -> Result<Vec<Arc<Change>>, Lost> {
        let state = self.cache.state.read();
        let Some(skip) = self.next.checked_sub(state.oldest) else { return Err(Lost) };
        let changes: Vec<Arc<Change>> =
            state.history.iter().skip(skip as usize).take(BATCH).cloned().collect();
        self.next += changes.len() as u64;
        Ok(changes)
    }
}
