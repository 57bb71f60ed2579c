//! An engine that forgets everything: for tests and simulations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::mvcc::{Index, Shared, Stage};
use crate::{
    CompactError, Compare, Engine, KeyValue, Op, Range, RangeResult, ReadError, Revision, Txn, TxnError,
    TxnResult, Watch, WatchError,
};

/// A new, empty store at revision 1.
pub fn open() -> Arc<dyn Engine> {
    let shared = Shared::new(Index::new(Revision(1), Revision::ZERO));
    Arc::new(Memory { shared, closed: AtomicBool::new(false) })
}

struct Memory {
    shared: Arc<Shared>,
    closed: AtomicBool,
}

#[async_trait]
impl Engine for Memory {
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<Option<KeyValue>, ReadError> {
        self.shared.read().get(key, at)
    }

    async fn range(&self, range: Range) -> Result<RangeResult, ReadError> {
        self.shared.read().range(&range)
    }

    async fn txn(
        &self,
        compares: Vec<Compare>,
        success: Vec<Op>,
        failure: Vec<Op>,
    ) -> Result<TxnResult, TxnError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(TxnError::Closed);
        }
        let txn = Txn { compares, success, failure };
        let mut result = Err(TxnError::Closed);
        self.shared.update(|index| {
            let mut stage = Stage::new(index, index.revision());
            result = stage.run(&txn);
            stage.into_commits()
        });
        result
    }

    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<Watch, WatchError> {
        self.shared.watch(prefix, from)
    }

    async fn compact(&self, revision: Revision) -> Result<(), CompactError> {
        self.shared.compact(revision)
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        Ok(self.shared.read().revision())
    }

    async fn compacted(&self) -> Result<Revision, ReadError> {
        Ok(self.shared.read().compacted())
    }

    async fn close(&self) -> Result<(), TxnError> {
        self.closed.store(true, Ordering::Release);
        self.shared.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        crate::conformance::run(async || super::open()).await;
    }
}
