//! The kubelet: makes the pods of one node run, and tells the API server how they are.
//!
//! Never relists on a timer, never speaks to a container but through the CRI, never decides where a pod runs.
//! Reading order: [`config`].

mod config;
mod dns;
mod env;
mod images;
mod objects;
mod pod;
mod pods;
mod probes;
mod quantity;
mod runtime;
mod tokens;
mod volumes;

pub use config::{Config, Reserved, Tls};

use stdx::Shutdown;

/// A node's agent.
pub struct Kubelet {
    config: Config,
}

/// Why the kubelet ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot prepare folder {path:?}")]
    Folder { path: std::path::PathBuf, source: std::io::Error },
}

impl Kubelet {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Runs until shutdown. Containers are left as they are.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let path = self.config.root.clone();
        std::fs::create_dir_all(&path).map_err(|source| Error::Folder { path, source })?;
        shutdown.wait().await;
        Ok(())
    }
}
