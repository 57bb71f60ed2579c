//! Kubeconfigs: which files, how they merge, and what the chosen context says.
//!
//! Upstream: client-go/tools/clientcmd (loader, client_config, overrides).

pub mod exec;
pub mod file;
mod resolve;

pub use file::Kubeconfig;
pub use resolve::{Access, Overrides, resolve};
