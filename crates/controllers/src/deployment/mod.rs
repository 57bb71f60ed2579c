//! Rolls each Deployment from one ReplicaSet to the next.
//!
//! Upstream: pkg/controller/deployment. The arithmetic is in [`rolling`] and [`proportional`], pure; what a revision
//! is stands in [`revision`]; what people are told in [`status`].

mod proportional;
mod reconciler;
mod revision;
mod rolling;
mod sets;
mod status;

pub(crate) use reconciler::start;
pub(crate) use revision::template_hash;
