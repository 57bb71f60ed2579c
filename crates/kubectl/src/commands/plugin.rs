//! `kubectl plugin list`, and commands that programs called `kubectl-…` on the path give.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command as Program;

use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};

const LIST: Command = Command::new("list", "List all plugins that can be run", "[flags]")
    .flags(&[&[Flag::switch("name-only", "Show names without folders.")]])
    .run(|cx| Box::pin(list(cx)));

pub const COMMAND: Command =
    Command::new("plugin", "Tell about plugins: programs called kubectl-… on the path", "[flags]")
        .commands(&[LIST]);

fn folders() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn is_program(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

async fn list(cx: Context) -> Result {
    let mut found = Vec::new();
    for folder in folders() {
        // Folders of the path that are not there have no plugins.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut names: Vec<PathBuf> =
            entries.filter_map(std::result::Result::ok).map(|entry| entry.path()).collect();
        names.sort();
        let is_plugin = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubectl-"))
        };
        found.extend(names.into_iter().filter(is_plugin));
    }
    if found.is_empty() {
        return Err(Error::said("unable to find any kubectl plugins in your PATH"));
    }
    let mut text = String::from("The following compatible plugins are available:\n\n");
    for path in found {
        let name = if cx.flags.on("name-only") {
            path.file_name().map(PathBuf::from).unwrap_or_default()
        } else {
            path
        };
        text.push_str(&format!("{}\n", name.display()));
    }
    crate::say(&text);
    Ok(())
}

/// Runs the plugin that the words name, the longest name first; none where there is no such program.
///
/// # Errors
/// The program cannot be started.
pub fn run(words: &[String]) -> Result<Option<i32>> {
    let named = words.iter().take_while(|word| !word.starts_with('-')).count();
    for count in (1..=named).rev() {
        let names: Vec<String> = words[..count].iter().map(|word| word.replace('-', "_")).collect();
        let program = format!("kubectl-{}", names.join("-"));
        let Some(path) =
            folders().into_iter().map(|folder| folder.join(&program)).find(|path| is_program(path))
        else {
            continue;
        };
        let status = Program::new(path)
            .args(&words[count..])
            .status()
            .map_err(|error| Error::said(error.to_string()))?;
        return Ok(Some(status.code().unwrap_or(1)));
    }
    Ok(None)
}
