//! The request path: every request passes these layers, in this order, which is upstream's.
//!
//! Each layer is a file with a line saying why it stands where it stands. [`Stage`] is how a layer is written,
//! [`Stages`] stacks them into one tower service.
//!
//! Upstream: apiserver/pkg/server/config.go, `DefaultBuildHandlerChain`.

pub mod stage;

pub use stage::{Next, Stage, Stages};
