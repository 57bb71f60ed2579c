//! All keys and the log of commits.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::versions::{Version, Versions};
use crate::{
    CompactError, Durability, Event, EventKind, KeyValue, Range, RangeResult, ReadError, Revision, Want,
};

/// The changes of one transaction.
#[derive(Debug)]
pub(crate) struct Commit {
    pub revision: Revision,
    pub events: Vec<Event>,
    /// Synced if any of its changes is.
    pub durability: Durability,
}

/// Every state since the last compaction.
#[derive(Debug)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, Versions>,
    /// The commits above `compacted`, oldest first.
    log: VecDeque<Arc<Commit>>,
    revision: Revision,
    compacted: Revision,
}

impl Index {
    /// Empty, at `revision`, without history before it.
    pub fn new(revision: Revision, compacted: Revision) -> Self {
        Self { keys: BTreeMap::new(), log: VecDeque::new(), revision, compacted }
    }

    /// What an earlier process left, without its history.
    pub fn loaded(objects: BTreeMap<Bytes, KeyValue>, revision: Revision) -> Self {
        let keys = objects.into_iter().map(|(key, kv)| (key, Versions::one(kv))).collect();
        Self { keys, ..Self::new(revision, revision) }
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// The key's state now.
    pub fn latest(&self, key: &[u8]) -> Option<KeyValue> {
        let (key, versions) = self.keys.get_key_value(key)?;
        versions.live(None)?.with_value(key)
    }

    pub fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Option<KeyValue>, ReadError> {
        self.check_readable(at)?;
        let found = self.keys.get_key_value(key);
        Ok(found.and_then(|(key, versions)| versions.live(at)?.with_value(key)))
    }

    pub fn range(&self, range: &Range) -> Result<RangeResult, ReadError> {
        self.check_readable(range.at)?;
        let mut kvs = Vec::new();
        let mut count = 0;
        let limit = if range.limit == 0 { usize::MAX } else { range.limit };
        for (key, versions) in self.keys_between(&range.start, &range.end) {
            let Some(version) = versions.live(range.at) else { continue };
            count += 1;
            if kvs.len() == limit || range.want == Want::Count {
                continue;
            }
            let value = match range.want {
                Want::Values => version.value.clone().unwrap_or_default(),
                Want::Keys | Want::Count => Bytes::new(),
            };
            kvs.push(version.to_key_value(key, value));
        }
        let more = range.want != Want::Count && count > kvs.len();
        Ok(RangeResult { kvs, more, count, revision: self.revision })
    }

    /// Makes a staged commit visible.
    pub fn apply(&mut self, commit: Arc<Commit>) {
        for event in &commit.events {
            let value = (event.kind == EventKind::Put).then(|| event.kv.value.clone());
            let version = Version {
                value,
                create_revision: event.kv.create_revision,
                mod_revision: commit.revision,
                version: event.kv.version,
            };
            self.push(&event.kv.key, version);
        }
        self.revision = commit.revision;
        self.log.push_back(commit);
    }

    /// From now on only reads at `revision` and later are answered. [`Index::forget`] then drops the rest.
    pub fn compact(&mut self, revision: Revision) -> Result<(), CompactError> {
        if revision > self.revision {
            return Err(CompactError::Future { requested: revision, current: self.revision });
        }
        self.compacted = self.compacted.max(revision);
        Ok(())
    }

    /// Drops what no read at the compacted revision or later can see, of at most `most` commits. Returns those; none
    /// if nothing is left to drop.
    pub fn forget(&mut self, most: usize) -> Vec<Arc<Commit>> {
        let compacted = self.log.partition_point(|commit| commit.revision <= self.compacted);
        let forgotten: Vec<_> = self.log.drain(..compacted.min(most)).collect();
        // Only keys that were written since the last compaction can have anything to drop.
        for event in forgotten.iter().flat_map(|commit| &commit.events) {
            self.compact_key(&event.kv.key);
        }
        forgotten
    }

    /// The commits from `from` on, oldest first.
    pub fn commits_from(&self, from: Revision) -> impl Iterator<Item = &Arc<Commit>> {
        let first = self.log.partition_point(|commit| commit.revision < from);
        self.log.range(first..)
    }

    fn push(&mut self, key: &Bytes, version: Version) {
        match self.keys.get_mut(key) {
            Some(versions) => versions.push(version),
            None => self.keys.entry(key.clone()).or_default().push(version),
        }
    }

    fn compact_key(&mut self, key: &Bytes) {
        let compacted = self.compacted;
        if self.keys.get_mut(key).is_some_and(|versions| versions.compact(compacted)) {
            self.keys.remove(key);
        }
    }

    fn keys_between(&self, start: &Bytes, end: &Bytes) -> impl Iterator<Item = (&Bytes, &Versions)> {
        let end = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        // BTreeMap panics on a range that ends before it starts; here it is an empty one.
        let start = match end {
            Bound::Excluded(end) if start > end => end,
            _ => start,
        };
        self.keys.range::<Bytes, _>((Bound::Included(start), end))
    }

    fn check_readable(&self, at: Option<Revision>) -> Result<(), ReadError> {
        match at {
            Some(requested) if requested > self.revision => {
                Err(ReadError::Future { requested, current: self.revision })
            }
            Some(requested) if requested < self.compacted => {
                Err(ReadError::Compacted { requested, compacted: self.compacted })
            }
            _ => Ok(()),
        }
    }
}
