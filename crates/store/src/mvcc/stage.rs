//! Transactions that have been decided but not applied: what lies between a queue and a disk.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::index::{Commit, Index};
use crate::{
    Compare, Durability, Event, EventKind, Expect, KeyValue, Op, OpResult, Revision, Txn, TxnError, TxnResult,
};

/// Runs transactions one after the other on top of an index, each seeing what those before it did.
pub(crate) struct Stage<'a> {
    index: &'a Index,
    changed: HashMap<Bytes, Option<KeyValue>>,
    revision: Revision,
    commits: Vec<Arc<Commit>>,
}

impl<'a> Stage<'a> {
    /// `revision` is the highest that was ever given out: the index's own, or more if a write failed since.
    pub fn new(index: &'a Index, revision: Revision) -> Self {
        Self { index, changed: HashMap::new(), revision, commits: Vec::new() }
    }

    /// Decides one transaction.
    pub fn run(&mut self, txn: &Txn) -> Result<TxnResult, TxnError> {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        check_keys_are_distinct(ops)?;
        let revision = self.revision.next();
        let mut commit = Commit { revision, events: Vec::new(), durability: Durability::Relaxed };
        let results = ops.iter().map(|op| self.step(op, &mut commit)).collect();
        if !commit.events.is_empty() {
            self.revision = revision;
            self.commits.push(Arc::new(commit));
        }
        Ok(TxnResult { revision: self.visible_revision(), succeeded, results })
    }

    /// What has to be applied, in order.
    pub fn into_commits(self) -> Vec<Arc<Commit>> {
        self.commits
    }

    /// A revision that failed is skipped and nobody has seen it, so a transaction without changes must not name it.
    fn visible_revision(&self) -> Revision {
        self.commits.last().map_or(self.index.revision(), |commit| commit.revision)
    }

    fn holds(&self, compare: &Compare) -> bool {
        let found = self.latest(&compare.key);
        match compare.expect {
            Expect::Absent => found.is_none(),
            Expect::Present => found.is_some(),
            Expect::ModRevision(revision) => found.is_some_and(|kv| kv.mod_revision == revision),
        }
    }

    fn step(&mut self, op: &Op, commit: &mut Commit) -> OpResult {
        match op {
            Op::Get { key } => OpResult::Got(self.latest(key)),
            Op::Put { key, value, durability } => self.put(key, value, *durability, commit),
            Op::Delete { key, durability } => self.delete(key, *durability, commit),
        }
    }

    fn put(&mut self, key: &Bytes, value: &Bytes, durability: Durability, commit: &mut Commit) -> OpResult {
        let prev_kv = self.latest(key);
        let kv = KeyValue {
            // The key that is already in memory, so that it stays there once. What is kept is copied to its size, so
            // that it does not hold a larger buffer that it was cut from.
            key: prev_kv.as_ref().map_or_else(|| Bytes::copy_from_slice(key), |prev| prev.key.clone()),
            value: Bytes::copy_from_slice(value),
            create_revision: prev_kv.as_ref().map_or(commit.revision, |prev| prev.create_revision),
            mod_revision: commit.revision,
            version: prev_kv.as_ref().map_or(1, |prev| prev.version + 1),
        };
        self.changed.insert(kv.key.clone(), Some(kv.clone()));
        commit.add(EventKind::Put, kv.clone(), prev_kv.clone(), durability);
        OpResult::Put { kv, prev_kv }
    }

    fn delete(&mut self, key: &Bytes, durability: Durability, commit: &mut Commit) -> OpResult {
        let Some(prev) = self.latest(key) else {
            return OpResult::Deleted { prev_kv: None };
        };
        let kv = KeyValue {
            key: prev.key.clone(),
            value: Bytes::new(),
            create_revision: Revision::ZERO,
            mod_revision: commit.revision,
            version: 0,
        };
        self.changed.insert(prev.key.clone(), None);
        commit.add(EventKind::Delete, kv, Some(prev.clone()), durability);
        OpResult::Deleted { prev_kv: Some(prev) }
    }

    fn latest(&self, key: &Bytes) -> Option<KeyValue> {
        match self.changed.get(key) {
            Some(changed) => changed.clone(),
            None => self.index.latest(key),
        }
    }
}

impl Commit {
    fn add(&mut self, kind: EventKind, kv: KeyValue, prev_kv: Option<KeyValue>, durability: Durability) {
        self.events.push(Event { kind, kv, prev_kv });
        if durability == Durability::Synced {
            self.durability = Durability::Synced;
        }
    }
}

fn check_keys_are_distinct(ops: &[Op]) -> Result<(), TxnError> {
    for (at, op) in ops.iter().enumerate() {
        let Some(key) = op.written_key() else { continue };
        if ops[..at].iter().any(|earlier| earlier.written_key() == Some(key)) {
            return Err(TxnError::DuplicateKey { key: String::from_utf8_lossy(key).into_owned() });
        }
    }
    Ok(())
}
