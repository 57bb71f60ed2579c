//! The thread that brings full log segments into the table and deletes them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use stdx::error_chain;

use super::files::{segment_path, segments};
use super::table::Table;
use crate::{KeyValue, OpenError};

/// What has changed up to and with a segment, since the segment before.
pub(super) struct Job {
    pub segment: u64,
    pub changes: BTreeMap<Bytes, Option<KeyValue>>,
}

/// The writer's side.
pub(super) struct Checkpointer {
    jobs: Option<Sender<Job>>,
    busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub fn start(folder: PathBuf, table: Table) -> Result<Self, OpenError> {
        let (jobs, queue) = channel();
        let busy = Arc::new(AtomicBool::new(false));
        let worker = Worker { folder, table, left: BTreeMap::new(), busy: busy.clone() };
        let thread = std::thread::Builder::new()
            .name("store-table".into())
            .spawn(move || worker.run(&queue))
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self { jobs: Some(jobs), busy, thread: Some(thread) })
    }

    /// Whether the last job is still under way; the log then grows a little further.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub fn submit(&self, job: Job) {
        self.busy.store(true, Ordering::Release);
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            // The segments stay, so nothing is lost; the next open brings them in.
            tracing::error!("the table's thread is gone");
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.jobs = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the table's thread panicked");
        }
    }
}

struct Worker {
    folder: PathBuf,
    table: Table,
    /// What an earlier, failed job left to do.
    left: BTreeMap<Bytes, Option<KeyValue>>,
    busy: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            self.left.extend(job.changes);
            match self.bring_in(job.segment) {
                Ok(()) => self.left.clear(),
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::error!(segment = job.segment, error, "log not brought into the table, kept");
                }
            }
            self.busy.store(false, Ordering::Release);
        }
    }

    fn bring_in(&mut self, segment: u64) -> Result<(), OpenError> {
        let changes: Vec<_> = std::mem::take(&mut self.left).into_iter().collect();
        let written = self.table.write(changes.iter());
        if written.is_err() {
            self.left = changes.into_iter().collect();
            return written;
        }
        let failed = |source| OpenError::File { path: self.folder.clone(), source };
        // Oldest first: what a crash leaves is then always the newest ones, and replaying those is right.
        for number in segments(&self.folder).map_err(failed)? {
            if number <= segment {
                let path = segment_path(&self.folder, number);
                std::fs::remove_file(&path).map_err(|source| OpenError::File { path, source })?;
            }
        }
        Ok(())
    }
}
