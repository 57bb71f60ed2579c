//! The test command of the README.

use anyhow::Result;

use crate::run::cargo;

/// Format and lints.
pub fn tidy() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])
}

/// Everything. Tests on real containers need root, and say so where they are refused it.
pub fn all() -> Result<()> {
    tidy()?;
    // The end-to-end tests drive the binary that a user would: the release build.
    cargo(&["build", "--release", "--package", "dromon"])?;
    cargo(&["test", "--workspace", "--no-fail-fast"])
}
