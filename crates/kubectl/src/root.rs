//! The first step: which command, its help, or an error; then the command in a runtime of one thread.

use crate::cli::{Command, help, parse};
use crate::commands;
use crate::context::Context;
use crate::error::{Error, Result};

pub const ROOT: Command = Command::new("kubectl", "Control a Kubernetes cluster", "[flags]")
    .details("kubectl controls a Kubernetes cluster: Dromon's or any other.")
    .commands(commands::ALL);

const GROUPS: &[(&str, &[&str])] = &[
    ("Basic Commands (Beginner)", &["create", "expose", "run", "set"]),
    ("Basic Commands (Intermediate)", &["explain", "get", "edit", "delete"]),
    ("Deploy Commands", &["rollout", "scale", "autoscale"]),
    (
        "Cluster Management Commands",
        &["certificate", "cluster-info", "top", "cordon", "uncordon", "drain", "taint"],
    ),
    (
        "Troubleshooting and Debugging Commands",
        &["describe", "logs", "attach", "exec", "port-forward", "proxy", "cp", "auth", "debug", "events"],
    ),
    ("Advanced Commands", &["diff", "apply", "patch", "replace", "wait", "kustomize"]),
    ("Settings Commands", &["label", "annotate", "completion"]),
    ("Other Commands", &["api-resources", "api-versions", "config", "plugin", "version"]),
];

static TREE: Command = ROOT;

/// The whole tree of commands.
pub fn tree() -> &'static Command {
    &TREE
}

pub fn run(line: &[String]) -> Result {
    let parsed = parse::parse(tree(), line)?;
    let command = parsed.command;
    if std::ptr::eq(command, tree()) || command.name == "kubectl" {
        return at_root(&parsed);
    }
    if parsed.wants_help {
        crate::say(&help::page(command, &parsed.path));
        return Ok(());
    }
    let Some(run) = command.run else { return group(command, &parsed) };
    let warnings_are_errors = parsed.given.on("warnings-as-errors");
    let cx = Context::new(parsed.given, parsed.args, parsed.dash, parsed.path);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::said(format!("cannot start: {error}")))?;
    let result = runtime.block_on(run(cx));
    // Reads of a terminal never end; what is left has nothing to do any more.
    runtime.shutdown_background();
    result?;
    if warnings_are_errors { crate::rest::warned_error() } else { Ok(()) }
}

fn at_root(parsed: &parse::Parsed) -> Result {
    let Some(word) = parsed.args.first() else {
        crate::say(&help::root(tree(), GROUPS));
        return Ok(());
    };
    if parsed.wants_help || word == "help" {
        let page = match parsed.args.get(1).and_then(|name| tree().command(name)) {
            Some(command) => help::page(command, &format!("kubectl {}", command.name)),
            None => help::root(tree(), GROUPS),
        };
        crate::say(&page);
        return Ok(());
    }
    if let Some(code) = commands::plugin::run(&parsed.args)? {
        return if code == 0 { Ok(()) } else { Err(Error::Exit(code)) };
    }
    Err(Error::Said(format!("unknown command {word:?} for \"kubectl\"{}", suggestions(word))))
}

/// Names that begin so, or are at most two edits away.
fn suggestions(word: &str) -> String {
    let near = |name: &str| parse::distance(word, name) <= 2 || name.starts_with(&word.to_lowercase());
    let mut names: Vec<&str> =
        tree().commands.iter().map(|command| command.name).filter(|name| near(name)).collect();
    names.sort_unstable();
    if names.is_empty() {
        return String::new();
    }
    format!("\n\nDid you mean this?\n\t{}\n", names.join("\n\t")).trim_end().to_owned() + "\n"
}

fn group(command: &Command, parsed: &parse::Parsed) -> Result {
    if let Some(word) = parsed.args.first() {
        return Err(Error::usage(
            &parsed.path,
            format!("unknown command {:?}", parsed.args.join(" ").split(' ').next().unwrap_or(word)),
        ));
    }
    crate::say(&help::page(command, &parsed.path));
    Err(Error::Exit(1))
}
