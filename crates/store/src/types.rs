//! Revisions, keys, ranges and transactions.

use std::fmt;

use bytes::Bytes;

/// A point in the store's history; rises with every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    pub const ZERO: Self = Self(0);

    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for Revision {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// A key's state as of one revision. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Bytes,
    pub value: Bytes,
    /// When the key came to exist; 0 in the event of a deletion.
    pub create_revision: Revision,
    /// When it was last written, or deleted.
    pub mod_revision: Revision,
    /// Writes since creation, from 1; 0 in the event of a deletion.
    pub version: u64,
}

/// What a crash may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On disk when acknowledged.
    #[default]
    Synced,
    /// Seen at once, on disk with the next synced change (Leases, Events).
    Relaxed,
}

/// What a range read returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    #[default]
    Values,
    /// As `Values`, with empty values.
    Keys,
    /// Only the count; no values are touched.
    Count,
}

/// The keys in `start..end`, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: Bytes,
    /// Exclusive. Empty means without end.
    pub end: Bytes,
    /// At most so many keys; 0 means all.
    pub limit: usize,
    /// As of this revision; now if absent.
    pub at: Option<Revision>,
    pub want: Want,
}

impl Range {
    pub fn new(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: end.into(), limit: 0, at: None, want: Want::Values }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = prefix_end(&start);
        Self::new(start, end)
    }

    /// Only `key`.
    pub fn key(key: impl Into<Bytes>) -> Self {
        let start = key.into();
        let mut end = start.to_vec();
        end.push(0);
        Self::new(start, end)
    }

    /// Starts at `start` instead: how a page continues.
    pub fn starting_at(mut self, start: impl Into<Bytes>) -> Self {
        self.start = start.into();
        self
    }

    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    pub fn at(mut self, at: Option<Revision>) -> Self {
        self.at = at;
        self
    }

    pub fn want(mut self, want: Want) -> Self {
        self.want = want;
        self
    }
}

/// The first key that does not begin with `prefix` any more; empty (without end) if there is none.
pub fn prefix_end(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte != 0xff) else {
        return Bytes::new();
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

/// The answer to a [`Range`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeResult {
    pub kvs: Vec<KeyValue>,
    /// The limit cut something off.
    pub more: bool,
    /// Keys in the whole range.
    pub count: usize,
    /// The store's revision as of the read.
    pub revision: Revision,
}

/// A condition on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    pub key: Bytes,
    pub expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Absent,
    Present,
    ModRevision(Revision),
}

impl Compare {
    pub fn absent(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), expect: Expect::Absent }
    }

    pub fn present(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), expect: Expect::Present }
    }

    pub fn unchanged_since(key: impl Into<Bytes>, revision: Revision) -> Self {
        Self { key: key.into(), expect: Expect::ModRevision(revision) }
    }
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Get { key: Bytes },
    Put { key: Bytes, value: Bytes, durability: Durability },
    Delete { key: Bytes, durability: Durability },
}

impl Op {
    pub fn get(key: impl Into<Bytes>) -> Self {
        Self::Get { key: key.into() }
    }

    /// A synced put.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), durability: Durability::Synced }
    }

    /// A synced delete.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete { key: key.into(), durability: Durability::Synced }
    }

    /// The same step with another durability; a get stays as it is.
    pub fn durability(mut self, wanted: Durability) -> Self {
        if let Self::Put { durability, .. } | Self::Delete { durability, .. } = &mut self {
            *durability = wanted;
        }
        self
    }

    /// The key that the step writes.
    pub(crate) fn written_key(&self) -> Option<&Bytes> {
        match self {
            Self::Get { .. } => None,
            Self::Put { key, .. } | Self::Delete { key, .. } => Some(key),
        }
    }
}

/// A whole transaction as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub success: Vec<Op>,
    pub failure: Vec<Op>,
}

/// What a step gave, in the order of the steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    Got(Option<KeyValue>),
    /// The key's new state, and what stood there before.
    Put {
        kv: KeyValue,
        prev_kv: Option<KeyValue>,
    },
    /// What stood there; `None` if the key was absent and nothing happened.
    Deleted {
        prev_kv: Option<KeyValue>,
    },
}

/// The outcome of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnResult {
    /// The transaction's own revision if it changed something, else the store's as of it.
    pub revision: Revision,
    /// Whether the compares held.
    pub succeeded: bool,
    pub results: Vec<OpResult>,
}

impl TxnResult {
    /// What the first step, a get, found: the usual failure branch of an update.
    pub fn into_got(self) -> Option<KeyValue> {
        match self.results.into_iter().next() {
            Some(OpResult::Got(kv)) => kv,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_its_successor() {
        assert_eq!(prefix_end(b"/a/"), Bytes::from("/a0"));
        assert_eq!(prefix_end(b"a\xff\xff"), Bytes::from("b"));
        assert_eq!(prefix_end(b"\xff"), Bytes::new());
        assert_eq!(prefix_end(b""), Bytes::new());
    }
}
