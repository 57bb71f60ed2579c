//! The runtime through its socket, with real sandboxes and containers. Needs root and a static busybox.

mod harness;
mod lifecycle;
mod streams;
