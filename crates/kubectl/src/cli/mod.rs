//! Commands and their flags as data: one table a command yields parser, help and completion.
//!
//! Reading order: this file (the tables' types), [`parse`], [`given`] (what was given), [`help`], [`shared`] (flags that
//! many commands have).

pub mod complete;
pub mod given;
pub mod help;
pub mod parse;
pub mod shared;

use std::future::Future;
use std::pin::Pin;

use crate::context::Context;
use crate::error::Result;

pub use given::Given;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Switch,
    Text,
    /// Several, each a comma-separated list.
    List,
    /// Several, commas kept.
    Each,
    Int,
    Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    /// The value of the flag without one: `--dry-run`.
    pub bare: Option<&'static str>,
    /// Not in the help.
    pub hidden: bool,
    pub about: &'static str,
}

impl Flag {
    const fn new(long: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Self {
        Self { long, short: None, kind, default, bare: None, hidden: false, about }
    }

    pub const fn switch(long: &'static str, about: &'static str) -> Self {
        Self::new(long, Kind::Switch, "false", about).bare("true")
    }

    pub const fn text(long: &'static str, about: &'static str) -> Self {
        Self::new(long, Kind::Text, "", about)
    }

    pub const fn list(long: &'static str, about: &'static str) -> Self {
        Self::new(long, Kind::List, "", about)
    }

    pub const fn each(long: &'static str, about: &'static str) -> Self {
        Self::new(long, Kind::Each, "", about)
    }

    pub const fn int(long: &'static str, default: &'static str, about: &'static str) -> Self {
        Self::new(long, Kind::Int, default, about)
    }

    pub const fn duration(long: &'static str, default: &'static str, about: &'static str) -> Self {
        Self::new(long, Kind::Duration, default, about)
    }

    #[must_use]
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    #[must_use]
    pub const fn bare(mut self, bare: &'static str) -> Self {
        self.bare = Some(bare);
        self
    }

    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}

pub type Running = Pin<Box<dyn Future<Output = Result>>>;
pub type Run = fn(Context) -> Running;

/// One command: everything but what it does.
#[derive(Clone, Copy)]
pub struct Command {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// One line in the list of commands.
    pub about: &'static str,
    /// More about it; empty where the line says all.
    pub details: &'static str,
    pub examples: &'static str,
    /// What follows the path of the command.
    pub usage: &'static str,
    pub flags: &'static [&'static [Flag]],
    pub commands: &'static [Command],
    /// None for a mere group.
    pub run: Option<Run>,
}

impl Command {
    pub const fn new(name: &'static str, about: &'static str, usage: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            about,
            details: "",
            examples: "",
            usage,
            flags: &[],
            commands: &[],
            run: None,
        }
    }

    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    #[must_use]
    pub const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    #[must_use]
    pub const fn examples(mut self, examples: &'static str) -> Self {
        self.examples = examples;
        self
    }

    #[must_use]
    pub const fn flags(mut self, flags: &'static [&'static [Flag]]) -> Self {
        self.flags = flags;
        self
    }

    #[must_use]
    pub const fn commands(mut self, commands: &'static [Command]) -> Self {
        self.commands = commands;
        self
    }

    #[must_use]
    pub const fn run(mut self, run: Run) -> Self {
        self.run = Some(run);
        self
    }

    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    pub fn command(&self, name: &str) -> Option<&'static Command> {
        self.commands.iter().find(|command| command.answers_to(name))
    }

    /// Its own flags, by name.
    pub fn own_flags(&self) -> Vec<&'static Flag> {
        let mut flags: Vec<&'static Flag> = self.flags.iter().flat_map(|set| set.iter()).collect();
        flags.sort_by_key(|flag| flag.long);
        flags
    }

    pub fn flag(&self, long: &str) -> Option<&'static Flag> {
        self.flags.iter().flat_map(|set| set.iter()).find(|flag| flag.long == long)
    }

    pub fn short_flag(&self, short: char) -> Option<&'static Flag> {
        self.flags.iter().flat_map(|set| set.iter()).find(|flag| flag.short == Some(short))
    }
}
