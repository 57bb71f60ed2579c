//! Deletes objects whose owners are gone, and carries out foreground and orphaning deletion.
//!
//! Upstream: pkg/controller/garbagecollector. Differs: no graph of its own: the informers' owner index is the graph,
//! and whether an owner exists is asked of the server before anything is deleted.

mod plan;
mod reconciler;
mod resources;

pub(crate) use reconciler::start;
pub(crate) use resources::discover;
