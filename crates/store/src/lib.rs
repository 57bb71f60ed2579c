//! A revisioned key-value store, shaped as etcd's: compare-and-swap transactions, reads at a revision, prefix
//! watches from a revision, compaction.
//!
//! Knows nothing of Kubernetes, HTTP or encodings: keys and values are bytes. Never sleeps and never polls: whoever
//! wants old history gone drives [`Compactor`] with a clock.
//!
//! Reading order: [`Engine`] with its numbered contract, the types around [`Range`], [`Watch`], then `mvcc` (the index
//! that both engines share), [`memory`], [`embedded`], and [`conformance`], the suite that every engine passes.

mod compactor;
pub mod conformance;
pub mod embedded;
mod engine;
mod error;
mod expire;
pub mod memory;
mod mvcc;
mod types;
mod watch;

pub use compactor::{Compactor, Retention};
pub use engine::Engine;
pub use error::{CompactError, OpenError, ReadError, TxnError, WatchError};
pub use expire::expire;
pub use types::{
    Compare, Durability, Expect, KeyValue, Op, OpResult, Range, RangeResult, Revision, Txn, TxnResult, Want,
    prefix_end,
};
pub use watch::{Event, EventKind, Watch, WatchBatch};
