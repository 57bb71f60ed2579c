//! Probes of containers.

pub(crate) mod results;
