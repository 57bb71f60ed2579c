//! What every crate needs and std lacks: an injected clock and randomness, shutdown, tasks, back-off, error chains.
//!
//! Never does I/O, knows nothing of Kubernetes. Reading order: [`clock`], [`random`], [`shutdown`], [`tasks`],
//! [`backoff`], [`chain`].

mod backoff;
mod chain;
mod clock;
mod random;
mod shutdown;
mod tasks;

pub use backoff::Backoff;
pub use chain::error_chain;
pub use clock::Clock;
pub use random::Random;
pub use shutdown::{Shutdown, Trigger};
pub use tasks::Tasks;
