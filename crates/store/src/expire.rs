//! Deleting what has outlived its time.

use bytes::Bytes;
use futures::future::try_join_all;

use crate::{Compare, Durability, Engine, Op, Revision, TxnError};

/// Deletes each key that has not changed since the given revision, and says how many those were.
///
/// The deletions are relaxed and queued together, so they cost no flush of the disk: what comes back after a crash
/// expires once more.
///
/// # Errors
/// The first that a transaction gave.
pub async fn expire(engine: &dyn Engine, keys: Vec<(Bytes, Revision)>) -> Result<usize, TxnError> {
    let deletions = keys.into_iter().map(|(key, seen)| {
        let delete = Op::delete(key.clone()).durability(Durability::Relaxed);
        engine.txn(vec![Compare::unchanged_since(key, seen)], vec![delete], vec![])
    });
    let results = try_join_all(deletions).await?;
    Ok(results.iter().filter(|result| result.succeeded).count())
}
