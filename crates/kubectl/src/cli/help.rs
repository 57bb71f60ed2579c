//! Help pages, made from the tables, in upstream's shape.

use std::fmt::Write;

use super::shared::GLOBAL;
use super::{Command, Flag, Kind};

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { let _ = writeln!($out, $($arg)*); };
}

/// The page of `command`, which is called `path`.
pub fn page(command: &Command, path: &str) -> String {
    let mut out = String::new();
    put!(out, "{}", if command.details.is_empty() { command.about } else { command.details });
    if !command.aliases.is_empty() {
        put!(out, "\nAliases:\n{}, {}", command.name, command.aliases.join(", "));
    }
    if !command.examples.is_empty() {
        put!(out, "\nExamples:");
        command.examples.lines().for_each(|line| {
            put!(out, "  {line}");
        });
    }
    commands(&mut out, command);
    options(&mut out, &command.own_flags());
    put!(out, "\nUsage:\n  {path} {} [options]", command.usage);
    if !command.commands.is_empty() {
        put!(out, "\nUse \"{path} <command> --help\" for more information about a given command.");
    } else {
        out.push('\n');
    }
    put!(out, "Use \"kubectl options\" for a list of global command-line options (applies to all commands).");
    out
}

fn commands(out: &mut String, command: &Command) {
    if command.commands.is_empty() {
        return;
    }
    put!(out, "\nAvailable Commands:");
    let width = command.commands.iter().map(|inner| inner.name.len()).max().unwrap_or(0).max(11);
    for inner in command.commands {
        put!(out, "  {:width$}   {}", inner.name, inner.about);
    }
}

fn options(out: &mut String, flags: &[&Flag]) {
    let shown: Vec<_> = flags.iter().filter(|flag| !flag.hidden).collect();
    if shown.is_empty() {
        return;
    }
    put!(out, "\nOptions:");
    let pages: Vec<String> = shown.iter().map(|flag| option(flag)).collect();
    out.push_str(&pages.join("\n"));
}

fn option(flag: &Flag) -> String {
    let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
    let default = match flag.kind {
        Kind::Text => format!("'{}'", flag.default),
        Kind::List | Kind::Each => format!("[{}]", flag.default),
        Kind::Switch | Kind::Int | Kind::Duration => flag.default.to_owned(),
    };
    format!("    {short}--{}={default}:\n\t{}\n", flag.long, flag.about)
}

/// `kubectl options`.
pub fn global() -> String {
    let mut out = String::from("The following options can be passed to any command:\n\n");
    let pages: Vec<String> = GLOBAL.iter().map(option).collect();
    out.push_str(&pages.join("\n"));
    out
}

/// The first page: all commands, in groups.
pub fn root(root: &Command, groups: &[(&str, &[&str])]) -> String {
    let mut out = String::new();
    put!(out, "{}", root.details);
    for (title, names) in groups {
        put!(out, "\n{title}:");
        for inner in names.iter().filter_map(|name| root.command(name)) {
            put!(out, "  {:13}   {}", inner.name, inner.about);
        }
    }
    put!(out, "\nUsage:\n  kubectl [flags] [options]\n");
    put!(out, "Use \"kubectl <command> --help\" for more information about a given command.");
    put!(out, "Use \"kubectl options\" for a list of global command-line options (applies to all commands).");
    out
}
