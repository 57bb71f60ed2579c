//! Linux as the rest of the project sees it: safe wrappers, and the only home of `unsafe`.
//!
//! Decides nothing: it does what it is told and says what the kernel said.

pub mod net;
