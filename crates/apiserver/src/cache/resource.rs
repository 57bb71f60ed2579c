//! The objects of one resource and their recent history.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::entry::key_of;
use super::{Change, Entry, Feed, Selection, Signature, Watcher};

/// Changes that are kept for watchers that are behind or come late. Upstream's window moves between 100 and
/// 102,400; a change costs little here, since its bytes are the object's.
const HISTORY: usize = 16_384;

/// All objects of a resource. Cheap to share; readers never wait for the store.
pub struct ResourceCache {
    pub(super) state: RwLock<State>,
    /// Number of the newest change; wakes watchers.
    pub(super) newest: watch::Sender<u64>,
    pub(super) feed: Feed,
}

/// An object and, beside it in the tree, what rules it out without looking at it.
struct Slot {
    signature: Signature,
    entry: Arc<Entry>,
}

impl From<Arc<Entry>> for Slot {
    fn from(entry: Arc<Entry>) -> Self {
        Self { signature: entry.signature, entry }
    }
}

#[derive(Default)]
pub(super) struct State {
    objects: BTreeMap<Arc<str>, Slot>,
    pub history: VecDeque<Arc<Change>>,
    /// Number of the oldest change in `history`; numbers rise by one.
    pub oldest: u64,
    /// History is complete after this revision.
    pub floor: u64,
    /// Newest revision among the changes of this resource.
    pub revision: u64,
}

/// The objects that matched, as of one revision.
pub struct Snapshot {
    pub entries: Vec<Arc<Entry>>,
    pub revision: u64,
    /// More matched than were asked for.
    pub more: bool,
    /// Objects in the range behind the last one, whether they match or not.
    pub remaining: usize,
}

impl ResourceCache {
    pub fn new(feed: Feed) -> Self {
        Self { state: RwLock::default(), newest: watch::Sender::new(0), feed }
    }

    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        self.state.read().objects.get(key_of(namespace, name).as_str()).map(|slot| slot.entry.clone())
    }

    pub fn len(&self) -> usize {
        self.state.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What matches now, in key order; at most `limit` if that is not 0.
    pub fn list(&self, selection: &Selection, limit: usize) -> Snapshot {
        let delivered = self.feed.revision();
        let state = self.state.read();
        let mut range = state.range(selection);
        let mut entries = Vec::new();
        let mut more = false;
        for slot in range.by_ref() {
            if !slot.matches(selection) {
                continue;
            }
            if limit > 0 && entries.len() == limit {
                more = true;
                break;
            }
            entries.push(slot.entry.clone());
        }
        let remaining = if more { range.count() + 1 } else { 0 };
        // Everything up to `delivered` had been applied before the lock was taken.
        Snapshot { entries, revision: delivered.max(state.revision), more, remaining }
    }

    /// A watcher that begins with the change after `revision`; `Err` has the first revision that can be had.
    pub fn watch_after(self: &Arc<Self>, revision: u64, selection: Selection) -> Result<Watcher, u64> {
        let state = self.state.read();
        if revision < state.floor {
            return Err(state.floor);
        }
        let behind = state.history.partition_point(|change| change.revision <= revision);
        Ok(Watcher::new(self.clone(), state.oldest + behind as u64, revision, selection))
    }

    /// What matches now, and a watcher that goes on from there.
    pub fn list_and_watch(self: &Arc<Self>, selection: Selection) -> (Snapshot, Watcher) {
        let delivered = self.feed.revision();
        let state = self.state.read();
        let entries = state
            .range(&selection)
            .filter(|slot| slot.matches(&selection))
            .map(|slot| slot.entry.clone())
            .collect();
        let revision = delivered.max(state.revision);
        let next = state.oldest + state.history.len() as u64;
        let snapshot = Snapshot { entries, revision, more: false, remaining: 0 };
        (snapshot, Watcher::new(self.clone(), next, revision, selection))
    }

    /// Replaces everything, at start. What stood in the history before is gone.
    pub(super) fn load(&self, entries: Vec<Arc<Entry>>, revision: u64) {
        let mut state = self.state.write();
        state.objects = entries.into_iter().map(|entry| (entry.key().into(), entry.into())).collect();
        state.oldest += state.history.len() as u64;
        state.history.clear();
        state.floor = revision;
        state.revision = revision;
    }

    /// Reads every object anew: how it is read has changed, not what is stored. Watchers are not told.
    pub fn remake(&self, make: impl Fn(&Entry) -> Option<Entry>) {
        let mut state = self.state.write();
        for slot in state.objects.values_mut() {
            if let Some(entry) = make(&slot.entry) {
                *slot = Arc::new(entry).into();
            }
        }
    }

    /// The resource is served no longer: everything is forgotten and every watch ends.
    pub fn close(&self) {
        let mut state = self.state.write();
        state.objects.clear();
        state.oldest += state.history.len() as u64 + 1;
        state.history.clear();
        let newest = state.oldest;
        drop(state);
        self.newest.send_replace(newest);
    }

    /// Applies one change: `now` is the new state, or none for a deletion of `key`.
    pub(super) fn apply(&self, key: &str, now: Option<Arc<Entry>>, revision: u64) {
        let mut state = self.state.write();
        let before = match &now {
            Some(entry) => state.objects.insert(key.into(), entry.clone().into()),
            None => state.objects.remove(key),
        };
        let before = before.map(|slot| slot.entry);
        state.revision = revision;
        if now.is_none() && before.is_none() {
            return;
        }
        state.push(Change::new(revision, now, before));
        let newest = state.oldest + state.history.len() as u64;
        drop(state);
        self.newest.send_replace(newest);
    }
}

impl Slot {
    fn matches(&self, selection: &Selection) -> bool {
        selection.may_match(self.signature) && selection.matches(&self.entry)
    }
}

impl State {
    fn push(&mut self, change: Change) {
        if self.history.len() == HISTORY
            && let Some(dropped) = self.history.pop_front()
        {
            self.oldest += 1;
            self.floor = dropped.revision;
        }
        self.history.push_back(Arc::new(change));
    }

    /// The objects that can match: one, a namespace's, or all.
    fn range<'a>(&'a self, selection: &Selection) -> Box<dyn Iterator<Item = &'a Slot> + 'a> {
        let bounds = |from: String, to: String| {
            self.objects.range::<str, _>((Bound::Included(from.as_str()), Bound::Excluded(to.as_str())))
        };
        if let Some(name) = selection.only_name()
            && (!selection.namespaced || !selection.namespace.is_empty())
        {
            return Box::new(self.objects.get(key_of(&selection.namespace, name).as_str()).into_iter());
        }
        if selection.namespace.is_empty() {
            return Box::new(self.objects.values());
        }
        // '0' follows '/' in ASCII.
        let namespace = &selection.namespace;
        Box::new(bounds(format!("{namespace}/"), format!("{namespace}0")).map(|(_, slot)| slot))
    }
}

impl ResourceCache {
    /// Returns once everything up to `revision` is here.
    pub async fn wait_for(&self, revision: u64) {
        if self.feed.revision() < revision {
            self.feed.wait_for(revision).await;
        }
    }

    /// How far this cache has come.
    pub fn revision(&self) -> u64 {
        self.feed.revision()
    }
}
