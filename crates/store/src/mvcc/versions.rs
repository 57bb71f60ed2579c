//! The states of one key.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{KeyValue, Revision};

/// One state; without a value the key was deleted.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub value: Option<Bytes>,
    pub create_revision: Revision,
    pub mod_revision: Revision,
    pub version: u64,
}

/// A key's states, oldest first, never empty. Nearly all keys have one, which needs no allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Versions(SmallVec<[Version; 1]>);

impl Versions {
    pub fn one(kv: KeyValue) -> Self {
        let mut versions = Self::default();
        versions.push(Version {
            value: Some(kv.value),
            create_revision: kv.create_revision,
            mod_revision: kv.mod_revision,
            version: kv.version,
        });
        versions
    }

    pub fn push(&mut self, version: Version) {
        self.0.push(version);
    }

    /// The state now, or as of `at`.
    pub fn find(&self, at: Option<Revision>) -> Option<&Version> {
        let Some(at) = at else { return self.0.last() };
        self.0.iter().rev().find(|version| version.mod_revision <= at)
    }

    /// The state now, or as of `at`, if the key exists there.
    pub fn live(&self, at: Option<Revision>) -> Option<&Version> {
        self.find(at).filter(|version| version.value.is_some())
    }

    /// Drops what no read at `revision` or later can see. Returns whether nothing is left.
    pub fn compact(&mut self, revision: Revision) -> bool {
        let seen = self.0.iter().rposition(|version| version.mod_revision <= revision);
        let Some(seen) = seen else { return false };
        // A deletion looks the same as no state at all.
        let first_kept = if self.0[seen].value.is_none() { seen + 1 } else { seen };
        self.0.drain(..first_kept);
        if self.0.len() <= 1 {
            self.0.shrink_to_fit();
        }
        self.0.is_empty()
    }
}

impl Version {
    pub fn to_key_value(&self, key: &Bytes, value: Bytes) -> KeyValue {
        KeyValue {
            key: key.clone(),
            value,
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
        }
    }

    /// With its value, if the key exists.
    pub fn with_value(&self, key: &Bytes) -> Option<KeyValue> {
        let value = self.value.clone()?;
        Some(self.to_key_value(key, value))
    }
}
