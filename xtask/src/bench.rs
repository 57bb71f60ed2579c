//! Figures of a real cluster on this machine: builds what a user would run, then lets the benchmark drive it.

use anyhow::Result;
use clap::Args;

use crate::run::cargo;

#[derive(Args)]
pub struct Options {
    /// How long the idle cluster is looked at, in seconds.
    #[arg(long, default_value_t = 60)]
    idle_s: u64,
}

/// Needs root.
pub fn run(options: &Options) -> Result<()> {
    cargo(&["build", "--release", "--package", "dromon"])?;
    let idle = options.idle_s.to_string();
    cargo(&["run", "--release", "--quiet", "--package", "dromon", "--example", "bench", "--", &idle])
}
