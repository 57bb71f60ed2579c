//! The Node object: registered, kept up to date, and its lease.
//!
//! Upstream: pkg/kubelet/kubelet_node_status.go, nodestatus/setters.go, nodelease.
//! Reading order: [`capacity`], [`facts`], [`register`], [`status`], [`lease`].

pub(crate) mod capacity;
mod facts;
pub(crate) mod lease;
pub(crate) mod register;
pub(crate) mod status;
