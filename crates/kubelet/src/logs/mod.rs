//! Container logs in the CRI's format: reading, following, rotating.
//!
//! Upstream: pkg/kubelet/kuberuntime/logs, pkg/kubelet/logs. Reading order: [`line`], [`options`], [`tail`], [`read`],
//! [`rotate`].

pub(crate) mod growth;
pub(crate) mod line;
pub(crate) mod options;
pub(crate) mod read;
pub(crate) mod rotate;
pub(crate) mod tail;
