//! `kubectl completion`: a few lines for the shell, which ask this program back for every word.

use crate::cli::{Command, complete};
use crate::context::Context;
use crate::error::Result;

pub const COMMAND: Command = Command::new(
    "completion",
    "Output shell completion code for the specified shell (bash, zsh, fish, or powershell)",
    "SHELL",
)
.run(|cx| Box::pin(run(cx)));

/// What the shells call.
pub const WORDS: Command =
    Command::new("__complete", "Words that may follow", "").run(|cx| Box::pin(words(cx)));

const BASH: &str = "_kubectl_complete() {\n  local line\n  mapfile -t COMPREPLY < <(\"${COMP_WORDS[0]}\" __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null | cut -f1)\n}\ncomplete -o default -F _kubectl_complete kubectl\n";
const ZSH: &str = "#compdef kubectl\n_kubectl() {\n  local -a found\n  found=(${(f)\"$(${words[1]} __complete -- ${words[2,CURRENT]} 2>/dev/null | cut -f1)\"})\n  compadd -a found || _files\n}\ncompdef _kubectl kubectl\n";
const FISH: &str = "complete -c kubectl -f -a '(kubectl __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'\n";

async fn run(cx: Context) -> Result {
    let script = match cx.args.as_slice() {
        [] => return Err(cx.usage("Shell not specified.")),
        [shell] => match shell.as_str() {
            "bash" => BASH,
            "zsh" => ZSH,
            "fish" => FISH,
            other => return Err(cx.usage(format!("Unsupported shell type {other:?}."))),
        },
        _ => return Err(cx.usage("Too many arguments. Expected only the shell type.")),
    };
    crate::say(script);
    Ok(())
}

async fn words(cx: Context) -> Result {
    let found = complete::words(crate::root::tree(), &cx.args);
    crate::say(
        &found
            .iter()
            .filter(|word| !word.starts_with("__"))
            .map(|word| format!("{word}\n"))
            .collect::<String>(),
    );
    Ok(())
}
