//! Opening, and the engine itself: reads on the index, changes through the writer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::Options;
use super::checkpoint::{Checkpointer, Job};
use super::files::lock_folder;
use super::log::Log;
use super::recover::recover;
use super::table::Table;
use super::writer::{Request, Writer};
use crate::mvcc::{Index, Shared};
use crate::{
    CompactError, Compare, Engine, KeyValue, Op, OpenError, Range, RangeResult, ReadError, Revision, Txn,
    TxnError, TxnResult, Watch, WatchError,
};

/// So many transactions may wait for the writer; more wait for a place.
const QUEUE: usize = 4096;

/// Opens the store in the folder `path`, which is made if it is missing. Blocks while it reads everything.
///
/// # Errors
/// See [`OpenError`].
pub fn open(path: &Path, options: Options) -> Result<Arc<dyn Engine>, OpenError> {
    let lock = lock_folder(path)?;
    let table = Table::open(path, options.table_cache_bytes)?;
    let recovered = recover(path, &table)?;
    let revision = recovered.revision;
    let log = Log::create(path, recovered.segment + 1, revision)
        .map_err(|source| OpenError::Write { path: path.to_owned(), source: Box::new(source) })?;
    let checkpointer = Checkpointer::start(path.to_owned(), table)?;
    if recovered.segment > 0 {
        checkpointer.submit(Job { segment: recovered.segment, changes: recovered.changes });
    }
    let shared = Shared::new(Index::loaded(recovered.objects, revision));
    let writer = Writer {
        shared: shared.clone(),
        log,
        checkpointer,
        changes: BTreeMap::new(),
        issued: revision,
        segment_bytes: options.segment_bytes,
        _lock: lock,
    };
    let (requests, queue) = mpsc::channel(QUEUE);
    let thread = std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || writer.run(queue))
        .map_err(|source| OpenError::Thread { source })?;
    Ok(Arc::new(Embedded { shared, requests: Some(requests), thread: Mutex::new(Some(thread)) }))
}

struct Embedded {
    shared: Arc<Shared>,
    /// Taken when dropped.
    requests: Option<mpsc::Sender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[async_trait]
impl Engine for Embedded {
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
        let txn = Txn { compares, success, failure };
        self.ask(|reply| Request::Txn(txn, reply)).await
    }

    async fn watch(&self, prefix: Bytes, from: Revision) -> Result<Watch, WatchError> {
        self.shared.watch(prefix, from)
    }

    /// Also brings relaxed changes to disk: this is the one call that comes regularly and is in no hurry.
    async fn compact(&self, revision: Revision) -> Result<(), CompactError> {
        self.shared.compact(revision)?;
        self.ask(Request::Flush).await.map_err(|source| CompactError::Write { source })
    }

    async fn revision(&self) -> Result<Revision, ReadError> {
        Ok(self.shared.read().revision())
    }

    async fn compacted(&self) -> Result<Revision, ReadError> {
        Ok(self.shared.read().compacted())
    }

    async fn close(&self) -> Result<(), TxnError> {
        let closed = self.ask(Request::Close).await;
        self.shared.close();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // The writer has nothing left to do but wait for the table's thread.
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("the writer's thread panicked");
            }
        }
        closed
    }
}

impl Embedded {
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, TxnError>>) -> Request,
    ) -> Result<T, TxnError> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(TxnError::Closed)?;
        requests.send(request(reply)).await.map_err(|_| TxnError::Closed)?;
        answer.await.map_err(|_| TxnError::Closed)?
    }
}

impl Drop for Embedded {
    /// Ends the writer, so that the folder is free when this returns.
    fn drop(&mut self) {
        self.requests = None;
        if self.thread.lock().take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer's thread panicked");
        }
    }
}
