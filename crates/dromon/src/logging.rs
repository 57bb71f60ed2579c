//! Where the log goes: a file in the cluster's folder, so that the terminal stays for progress.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// Starts logging to `path`. `DROMON_LOG` chooses what is logged, as in `DROMON_LOG=kubelet=debug`.
pub fn start(path: &Path) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot open the log {}", path.display()))?;
    let filter = EnvFilter::try_from_env("DROMON_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(file).init();
    Ok(())
}
