//! The thread that all changes go through.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::{Checkpointer, Job};
use super::log::Log;
use super::record::Flush;
use crate::mvcc::{Commit, Shared, Stage};
use crate::{Durability, EventKind, KeyValue, Revision, Txn, TxnError, TxnResult};

/// So many transactions at most share a flush, so that the first does not wait for the last for too long.
const GROUP: usize = 1024;

pub(super) enum Request {
    Txn(Txn, oneshot::Sender<Result<TxnResult, TxnError>>),
    /// Brings relaxed changes to disk.
    Flush(oneshot::Sender<Result<(), TxnError>>),
    /// The same, and no request after this one is served.
    Close(oneshot::Sender<Result<(), TxnError>>),
}

pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub log: Log,
    pub checkpointer: Checkpointer,
    /// What has changed since the segment began.
    pub changes: BTreeMap<Bytes, Option<KeyValue>>,
    /// The highest revision ever given out, also to transactions whose write failed.
    pub issued: Revision,
    pub segment_bytes: u64,
    /// Held as long as files are written.
    pub _lock: std::fs::File,
}

/// A decided transaction that waits for the disk.
type Waiting = (oneshot::Sender<Result<TxnResult, TxnError>>, Result<TxnResult, TxnError>);

impl Writer {
    /// Serves requests until the last sender is gone or one asks to close.
    pub fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut requests = Vec::with_capacity(GROUP);
        while queue.blocking_recv_many(&mut requests, GROUP) > 0 {
            if let Some(reply) = self.serve(requests.drain(..)) {
                queue.close();
                answer(reply, self.finish());
                return;
            }
        }
        if let Err(error) = self.finish() {
            let error = stdx::error_chain(&error);
            tracing::error!(error, "relaxed changes are lost");
        }
    }

    /// Returns whom to tell that the store is closed, once it is.
    fn serve(
        &mut self,
        requests: impl Iterator<Item = Request>,
    ) -> Option<oneshot::Sender<Result<(), TxnError>>> {
        let mut txns = Vec::new();
        let mut flushes = Vec::new();
        let mut close = None;
        for request in requests {
            match request {
                Request::Txn(txn, reply) => txns.push((txn, reply)),
                Request::Flush(reply) => flushes.push(reply),
                Request::Close(reply) => close = Some(reply),
            }
        }
        self.commit(txns);
        if !flushes.is_empty() {
            let flushed = self.flush();
            flushes.into_iter().for_each(|reply| answer(reply, flushed.clone()));
        }
        self.rotate_if_full();
        close
    }

    /// The group commit.
    fn commit(&mut self, txns: Vec<(Txn, oneshot::Sender<Result<TxnResult, TxnError>>)>) {
        let (waiting, commits) = self.decide(txns);
        let written = self.write(&commits);
        if written.is_ok() && !commits.is_empty() {
            self.shared.apply(&commits);
            self.remember(&commits);
        }
        for (reply, decided) in waiting {
            answer(reply, written.clone().and(decided));
        }
    }

    fn decide(
        &mut self,
        txns: Vec<(Txn, oneshot::Sender<Result<TxnResult, TxnError>>)>,
    ) -> (Vec<Waiting>, Vec<Arc<Commit>>) {
        let index = self.shared.read();
        let mut stage = Stage::new(&index, self.issued);
        let waiting = txns.into_iter().map(|(txn, reply)| (reply, stage.run(&txn))).collect();
        let commits = stage.into_commits();
        drop(index);
        if let Some(last) = commits.last() {
            self.issued = last.revision;
        }
        (waiting, commits)
    }

    fn write(&mut self, commits: &[Arc<Commit>]) -> Result<(), TxnError> {
        let Some(last) = commits.last() else { return Ok(()) };
        let synced = commits.iter().any(|commit| commit.durability == Durability::Synced);
        let flush = if synced || self.log.must_flush(last.revision) { Flush::Now } else { Flush::Later };
        self.log.append(commits, last.revision, flush).map_err(|error| self.error(error))
    }

    fn flush(&mut self) -> Result<(), TxnError> {
        if self.log.is_flushed() {
            return Ok(());
        }
        self.log.append(&[], self.issued, Flush::Now).map_err(|error| self.error(error))
    }

    fn finish(&mut self) -> Result<(), TxnError> {
        self.log.finish(self.issued).map_err(|error| self.error(error))
    }

    fn remember(&mut self, commits: &[Arc<Commit>]) {
        for event in commits.iter().flat_map(|commit| &commit.events) {
            let state = (event.kind == EventKind::Put).then(|| event.kv.clone());
            self.changes.insert(event.kv.key.clone(), state);
        }
    }

    /// Starts the next segment and lets the full one be brought into the table.
    fn rotate_if_full(&mut self) {
        if self.log.len() < self.segment_bytes || self.checkpointer.is_busy() {
            return;
        }
        if let Err(error) = self.rotate() {
            // The full segment serves a little longer, and the next group tries again.
            tracing::warn!(%error, segment = self.log.number(), "no new log segment yet");
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        // The next segment must not be on the platter before what precedes it.
        self.log.append(&[], self.issued, Flush::Now)?;
        let next = Log::create(self.log.folder(), self.log.number() + 1, self.issued)?;
        let full = std::mem::replace(&mut self.log, next);
        let changes = std::mem::take(&mut self.changes);
        self.checkpointer.submit(Job { segment: full.number(), changes });
        Ok(())
    }

    fn error(&self, error: io::Error) -> TxnError {
        let path = self.log.folder().to_owned();
        let is_full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let source = Arc::new(error);
        if is_full { TxnError::DiskFull { path, source } } else { TxnError::Write { path, source } }
    }
}

fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    // Whoever asked may have gone away; the change stands all the same.
    drop(reply.send(value));
}
