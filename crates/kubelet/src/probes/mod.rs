//! Probes of containers.
//!
//! Upstream: pkg/kubelet/prober. Reading order: [`results`], [`threshold`], [`action`], [`prober`].

pub(crate) mod action;
mod grpc;
pub(crate) mod prober;
pub(crate) mod results;
pub(crate) mod threshold;
mod tls;
