//! The watch cache: every object once, as its bytes plus an index, kept current by one watch on the store.
//!
//! Reads splice stored bytes; nothing here decodes on behalf of a reader. In reading order: [`Entry`] (an object),
//! [`Change`] (what happened to one), [`ResourceCache`] (the objects of a resource and their recent history),
//! [`Watcher`] (a place in that history), [`Feed`] (the one task that keeps all caches current).
//!
//! Upstream: apiserver/pkg/storage/cacher. Differs: a watcher keeps no queue of its own but a position in the
//! shared history, so a slow one costs nothing, and one store watch serves all resources.

mod change;
mod entry;
mod feed;
mod resource;
mod select;
mod signature;
mod watcher;

pub use change::{Change, EventType};
pub use entry::{Entry, Index};
pub use feed::{Feed, ROOT, Sink};
pub use resource::{ResourceCache, Snapshot};
pub use select::Selection;
pub use signature::Signature;
pub use watcher::{Lost, Watcher};
