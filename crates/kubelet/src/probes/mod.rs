//! Probes of containers.
//!
//! Upstream: pkg/kubelet/prober. Reading order: [`results`], [`threshold`], [`action`], [`prober`].

pub(crate) mod action;
#[cfg(test)]
mod action_tests;
mod grpc;
pub(crate) mod prober;
mod redirect;
pub(crate) mod results;
pub(crate) mod threshold;
mod tls;
