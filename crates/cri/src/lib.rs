//! The Container Runtime Interface, v1: messages, client and server, from a description of our own.
//!
//! Holds no logic and does no I/O. `proto/runtime_v1.proto` is the source; [`v1`] is what tonic makes of it.

/// `runtime.v1`: both services, with their clients and servers.
#[allow(clippy::all, missing_docs, rust_2018_idioms, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}
