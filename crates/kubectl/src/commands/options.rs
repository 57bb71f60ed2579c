//! `kubectl options`: the flags of all commands.

use crate::cli::{Command, help};
use crate::context::Context;
use crate::error::Result;

pub const COMMAND: Command =
    Command::new("options", "Print the flags that all commands take", "options").run(|cx| Box::pin(run(cx)));

async fn run(_: Context) -> Result {
    crate::say(&help::global());
    Ok(())
}
