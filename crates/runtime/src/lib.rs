//! The embedded container runtime: CRI v1 over a Unix socket, one small shim process per pod.
//!
//! Knows nothing of the Kubernetes API. Never forks in a process with threads: namespaces, mounts and containers
//! are the work of the single-threaded shim, which outlives the server.

pub mod images;
pub mod shim;

pub use shim::shim_main;
