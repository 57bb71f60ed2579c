//! The CRI streaming server: exec, attach and port-forward, spoken with the client over connections that the
//! API server and the kubelet only copy.

mod backend;
mod handshake;
mod requests;
mod server;

pub use backend::{Backend, BoxError, BoxRead, BoxWrite, Duplex, Process, Wants};
pub use server::Server;
