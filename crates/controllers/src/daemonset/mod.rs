//! Keeps one pod of each DaemonSet on every node that it wants.
//!
//! Upstream: pkg/controller/daemon. [`fit`] says which nodes, [`template`] what its pods look like, [`plan`] and
//! [`roll`] what is done, [`status`] what is told.

mod fit;
mod plan;
mod reconciler;
mod roll;
mod status;
mod template;

pub(crate) use reconciler::start;
