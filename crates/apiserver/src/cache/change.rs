//! What happened to one object, and the frames that tell it, each encoded once and shared by all watchers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{Entry, Selection};

/// How a watcher sees a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Added,
    Modified,
    Deleted,
}

impl EventType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    pub revision: u64,
    /// The state after; none if it was deleted.
    pub now: Option<Arc<Entry>>,
    /// The state before; none if it was created.
    pub before: Option<Arc<Entry>>,
    /// The state before under this revision, made when the first watcher needs it.
    last: OnceLock<Arc<Entry>>,
    frames: Mutex<SmallVec<[(u64, EventType, Bytes); 2]>>,
}

impl Change {
    pub fn new(revision: u64, now: Option<Arc<Entry>>, before: Option<Arc<Entry>>) -> Self {
        Self { revision, now, before, last: OnceLock::new(), frames: Mutex::default() }
    }

    /// What this change is to somebody who looks through `selection`: entering it is ADDED, leaving it is DELETED.
    pub fn seen_through(&self, selection: &Selection) -> Option<(EventType, Arc<Entry>)> {
        let matches = |entry: &Option<Arc<Entry>>| entry.as_ref().is_some_and(|e| selection.matches(e));
        match (matches(&self.before), matches(&self.now)) {
            (false, true) => Some((EventType::Added, self.now.clone()?)),
            (true, true) => Some((EventType::Modified, self.now.clone()?)),
            (true, false) => Some((EventType::Deleted, self.last()?)),
            (false, false) => None,
        }
    }

    fn last(&self) -> Option<Arc<Entry>> {
        let before = self.before.as_ref()?;
        Some(self.last.get_or_init(|| Arc::new(before.at_revision(self.revision))).clone())
    }

    /// The frame for `form` (a number that stands for one encoding), if somebody has made it.
    pub fn cached_frame(&self, form: u64, event: EventType) -> Option<Bytes> {
        let frames = self.frames.lock();
        frames.iter().find(|(f, e, _)| (*f, *e) == (form, event)).map(|(.., bytes)| bytes.clone())
    }

    /// Keeps a frame for the other watchers.
    pub fn keep_frame(&self, form: u64, event: EventType, bytes: Bytes) {
        self.frames.lock().push((form, event, bytes));
    }
}
