//! The server as a whole: what it is made of, in which order it starts, and how others hold it.
//!
//! [`Core`] is what handlers share, [`Server::start`] puts everything together, [`Handle`] is what the rest of the
//! process gets: clients without a socket, and the address of the socket.

mod bootstrap;
mod core;
mod expiry;
mod following;
mod handle;
mod start;

pub use core::Core;
pub use handle::Handle;
pub use start::{Server, StartError};
