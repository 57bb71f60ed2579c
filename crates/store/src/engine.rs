//! The trait, and what every engine promises.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    CompactError, Compare, KeyValue, Op, Range, RangeResult, ReadError, Revision, TxnError, TxnResult, Watch,
    WatchError,
};

/// A revisioned key-value store.
///
/// - **C1** There is one revision for the whole store. It starts at 1, and a transaction that changes something
///   raises it by at least one; all changes of a transaction carry the same revision. It never goes back and no
///   revision is given out twice, also not after a crash.
/// - **C2** A transaction is atomic and transactions are serial: its compares and operations see everything that
///   was acknowledged before, and all of it or nothing is applied.
/// - **C3** A transaction that changes nothing (a failed compare without an operation, a delete of an absent key, a
///   get) leaves the revision as it is.
/// - **C4** A key's `create_revision` is the revision that made it exist, `mod_revision` the last that wrote it,
///   `version` counts its writes since creation, from 1.
/// - **C5** When a transaction with a [`Durability::Synced`](crate::Durability) change is acknowledged, it and
///   everything that it could have seen survive a crash of the process and of the machine. `Relaxed` changes are
///   seen at once and may be lost in a crash until the next synced one, or `compact`, or `close`.
/// - **C6** A read shows no synced change that a crash could still take back.
/// - **C7** Keys are ordered by their bytes. `count` counts the whole range, whatever the limit; `more` says that
///   the limit cut something off; `revision` is the store's revision as of the read, not the asked one.
/// - **C8** A read at revision R shows the store as it was right after R, as long as R is not below the compacted
///   revision ([`ReadError::Compacted`]) nor in the future ([`ReadError::Future`]).
/// - **C9** A watch yields every change under its prefix from `from` (inclusive; 0 means from the next revision
///   on), ordered by revision, without gap or repeat. The changes of one transaction stand in one batch.
/// - **C10** A batch's `revision` says that everything up to it has been delivered; it only rises. A requested
///   progress notification is a batch without events.
/// - **C11** A watch that starts at or below the compacted revision, or has undelivered changes there because it is
///   slow, ends with [`WatchError::Compacted`]. A watch with nothing undelivered is never cut off by compaction.
/// - **C12** A deletion's event carries the deletion's revision, and the last state as `prev_kv`. A put's event has
///   `prev_kv` if the key existed. Both also when the previous state is older than the compacted revision.
/// - **C13** `compact(R)` keeps reads at R and later, and watches from R + 1 on. Compacting what is compacted
///   already is no error.
/// - **C14** A failed write (a full disk) gives an error to those who wait for it, changes nothing that others see,
///   and the engine goes on as soon as the cause is gone. (If the machine stops before that, the failed change may
///   turn out to have been written after all, as with any store that loses its disk in the middle of a write.)
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// One key, now or as of a revision.
    ///
    /// # Errors
    /// See C8.
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Option<KeyValue>, ReadError>;

    /// The keys of a range in order, or only their number.
    ///
    /// # Errors
    /// See C8.
    async fn range(&self, range: Range) -> Result<RangeResult, ReadError>;

    /// Runs `success` if all compares hold, `failure` otherwise.
    ///
    /// # Errors
    /// [`TxnError::DuplicateKey`] if one list writes a key twice; otherwise the write failed (C14).
    async fn txn(
        &self,
        compares: Vec<Compare>,
        success: Vec<Op>,
        failure: Vec<Op>,
    ) -> Result<TxnResult, TxnError>;

    /// The changes under `prefix` from `from` on.
    ///
    /// # Errors
    /// See C11.
    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<Watch, WatchError>;

    /// Drops history below `revision`.
    ///
    /// # Errors
    /// [`CompactError::Future`] if the store has not got there yet.
    async fn compact(&self, revision: Revision) -> Result<(), CompactError>;

    /// The newest revision that a read shows.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn revision(&self) -> Result<Revision, ReadError>;

    /// The highest revision whose history is gone; 0 if nothing was compacted.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn compacted(&self) -> Result<Revision, ReadError>;

    /// Brings everything to disk and ends; later writes fail with [`TxnError::Closed`].
    ///
    /// # Errors
    /// When relaxed changes could not be written.
    async fn close(&self) -> Result<(), TxnError>;
}
