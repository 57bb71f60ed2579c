//! A running watch, whatever engine it comes from.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{BoxStream, Stream, StreamExt};

use crate::{KeyValue, Revision, WatchError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Put,
    Delete,
}

/// One change of one key. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// The state after the change. Of a deletion only `key` and `mod_revision` (the deletion's) are set.
    pub kv: KeyValue,
    /// The state before, if the key existed.
    pub prev_kv: Option<KeyValue>,
}

impl Event {
    /// When it happened.
    pub fn revision(&self) -> Revision {
        self.kv.mod_revision
    }
}

/// Changes in order, and how far they reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchBatch {
    /// Empty in a progress notification.
    pub events: Vec<Event>,
    /// Everything up to here has been delivered.
    pub revision: Revision,
}

/// A stream of batches; it ends after its first error. Dropping it ends the watch.
pub struct Watch {
    batches: BoxStream<'static, Result<WatchBatch, WatchError>>,
    progress: Box<dyn Fn() + Send + Sync>,
}

impl Watch {
    /// For engines: `progress` asks for a progress notification.
    pub fn new(
        batches: impl Stream<Item = Result<WatchBatch, WatchError>> + Send + 'static,
        progress: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { batches: batches.boxed(), progress: Box::new(progress) }
    }

    /// The next batch; `None` once the watch has ended. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<WatchBatch, WatchError>> {
        StreamExt::next(&mut self.batches).await
    }

    /// Asks for a batch that says how far the watch has come; with events if there are any, else without.
    pub fn request_progress(&self) {
        (self.progress)();
    }
}

impl Stream for Watch {
    type Item = Result<WatchBatch, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
