//! Keeps the numbered pods of each StatefulSet, with their names and their claims.
//!
//! Upstream: pkg/controller/statefulset. [`identity`] says what a pod and its claims look like, [`plan`] what is done
//! in which order, [`status`] what is told.

mod claims;
mod identity;
mod plan;
mod reconciler;
mod status;

pub(crate) use reconciler::start;
