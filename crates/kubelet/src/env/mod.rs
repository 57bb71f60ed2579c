//! A container's environment, command and arguments.
//!
//! Upstream: pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables. Reading order: [`expand`], [`services`], [`fields`],
//! [`resolve`].

pub(crate) mod expand;
pub(crate) mod fields;
pub(crate) mod resolve;
pub(crate) mod services;

pub(crate) use resolve::{Source, resolve};
