//! The CRI streaming server: exec, attach and port-forward, spoken with the client over connections that the
//! API server and the kubelet only copy.
//!
//! Knows processes and connections only by its [`Backend`]. Reading order: [`backend`], `requests` (the tokens),
//! `server`, `handshake` (which protocol), `session` (a process and its client), `websocket`, `spdy`, `forward`,
//! `channels` (port-forward on a plain WebSocket).

mod backend;
mod channels;
mod forward;
mod handshake;
mod requests;
mod server;
mod session;
mod spdy;
#[cfg(test)]
mod tests;
mod websocket;

pub use backend::{Backend, BoxError, BoxRead, BoxWrite, Duplex, Process, Wants};
pub use server::Server;
