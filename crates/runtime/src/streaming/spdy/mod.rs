//! SPDY/3.1 as clients of Kubernetes speak it: a server for streams, without push, settings or flow control.
//!
//! Source: the SPDY protocol, draft 3.1. Clients (moby/spdystream) know no windows either.

pub(super) mod command;
mod connection;
pub(super) mod frame;
pub(super) mod headers;

pub(super) use connection::{Stream, serve};
#[cfg(test)]
pub(super) use {
    frame::{Frame, read, write},
    headers::{Compressor, Decompressor},
};
