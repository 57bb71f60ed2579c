//! The index in memory that both engines share: every key with its states since the last compaction, the log of
//! commits, and the watchers.
//!
//! Values are held once: states, events and answers share the same `Bytes`. Reading order: `versions` (one key),
//! `index` (all keys), `stage` (transactions that are not applied yet), `watchers`, `shared` (all of it
//! behind one lock).

mod index;
mod shared;
mod stage;
mod versions;
mod watchers;

pub(crate) use index::{Commit, Index};
pub(crate) use shared::Shared;
pub(crate) use stage::Stage;
