//! One pod's life: what has to happen ([`plan`], pure), and what is said about it ([`status`], pure), the worker that
//! carries it out.

pub(crate) mod allocation;
pub(crate) mod backoff;
pub(crate) mod cgroups;
pub(crate) mod conditions;
pub(crate) mod container_config;
pub(crate) mod container_status;
pub(crate) mod hooks;
pub(crate) mod kill;
pub(crate) mod last_words;
pub(crate) mod phase;
pub(crate) mod plan;
pub(crate) mod qos;
pub(crate) mod resize;
pub(crate) mod sandbox_config;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod worker;
#[cfg(test)]
mod worker_tests;
