//! The server over its sockets, with a runtime that only pretends.

mod command;
mod forward;
mod harness;
mod output;
