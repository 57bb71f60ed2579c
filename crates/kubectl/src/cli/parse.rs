//! Command lines to commands, flags and arguments, as upstream's flag library reads them.

use std::collections::HashMap;

use super::given::{Given, duration_of};
use super::shared::GLOBAL;
use super::{Command, Flag, Kind};
use crate::error::{Error, Result};

/// A command line, understood.
pub struct Parsed {
    pub command: &'static Command,
    /// `kubectl create secret`.
    pub path: String,
    pub given: Given,
    pub args: Vec<String>,
    /// How many arguments stand before `--`.
    pub dash: Option<usize>,
    pub wants_help: bool,
}

/// Reads `line`, which does not contain the program's name.
///
/// # Errors
/// In upstream's words: an unknown command or flag, a value missing or of the wrong type.
pub fn parse(root: &'static Command, line: &[String]) -> Result<Parsed> {
    let (command, path, rest) = find(root, line);
    let mut reader = Reader { command, path: &path, values: HashMap::new(), wants_help: false };
    let (args, dash) = reader.read(&rest)?;
    let Reader { values, wants_help, .. } = reader;
    Ok(Parsed { command, given: Given::new(command, values), args, dash, wants_help, path })
}

/// The command that the words name, its path, and the line without those words.
fn find(root: &'static Command, line: &[String]) -> (&'static Command, String, Vec<String>) {
    let (mut command, mut path) = (root, root.name.to_owned());
    let mut rest = Vec::new();
    let mut words = line.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.push(word.clone());
            break;
        }
        if word.starts_with('-') && word.len() > 1 {
            rest.push(word.clone());
            if takes_next(command, word)
                && let Some(value) = words.next()
            {
                rest.push(value.clone());
            }
            continue;
        }
        match command.command(word) {
            Some(inner) => {
                command = inner;
                path = format!("{path} {}", inner.name);
            }
            None => {
                rest.push(word.clone());
                break;
            }
        }
    }
    rest.extend(words.cloned());
    (command, path, rest)
}

/// Whether the word after this flag is its value.
fn takes_next(command: &Command, word: &str) -> bool {
    let known = |flag: Option<&'static Flag>| flag.is_none_or(|flag| flag.bare.is_none());
    if word.contains('=') {
        return false;
    }
    match word.strip_prefix("--") {
        Some(long) => {
            let flag = command.flag(long).or_else(|| global(long));
            flag.is_some_and(|flag| flag.bare.is_none())
                || (flag.is_none() && command.run.is_none() && long != "help")
        }
        None if word.len() == 2 => {
            let short = word.chars().nth(1).unwrap_or_default();
            short != 'h' && known(command.short_flag(short).or_else(|| global_short(short)))
        }
        None => false,
    }
}

fn global(long: &str) -> Option<&'static Flag> {
    GLOBAL.iter().find(|flag| flag.long == long)
}

fn global_short(short: char) -> Option<&'static Flag> {
    GLOBAL.iter().find(|flag| flag.short == Some(short))
}

struct Reader<'a> {
    command: &'static Command,
    path: &'a str,
    values: HashMap<&'static str, Vec<String>>,
    wants_help: bool,
}

impl Reader<'_> {
    fn read(&mut self, rest: &[String]) -> Result<(Vec<String>, Option<usize>)> {
        let (mut args, mut dash) = (Vec::new(), None);
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                dash = Some(args.len());
                args.extend(words.by_ref().cloned());
            } else if let Some(long) = word.strip_prefix("--") {
                self.long(long, &mut words)?;
            } else if word.len() > 1 && word.starts_with('-') {
                self.shorts(&word[1..], &mut words)?;
            } else {
                args.push(word.clone());
            }
        }
        Ok((args, dash))
    }

    fn long<'w>(&mut self, word: &str, words: &mut impl Iterator<Item = &'w String>) -> Result {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(self.wrong(format!("bad flag syntax: --{word}")));
        }
        let Some(flag) = self.command.flag(name).or_else(|| global(name)) else {
            if name == "help" {
                self.wants_help = true;
                return Ok(());
            }
            return Err(self.wrong(format!("unknown flag: --{name}{}", self.did_you_mean(name))));
        };
        let value = match value.or_else(|| flag.bare.map(str::to_owned)) {
            Some(value) => value,
            None => {
                let next = words.next().cloned();
                next.ok_or_else(|| self.wrong(format!("flag needs an argument: --{name}")))?
            }
        };
        self.take(flag, value)
    }

    fn shorts<'w>(&mut self, group: &str, words: &mut impl Iterator<Item = &'w String>) -> Result {
        for (at, short) in group.char_indices() {
            let Some(flag) = self.command.short_flag(short).or_else(|| global_short(short)) else {
                if short == 'h' {
                    self.wants_help = true;
                    return Ok(());
                }
                return Err(self.wrong(format!("unknown shorthand flag: {short:?} in -{group}")));
            };
            let after = &group[at + short.len_utf8()..];
            if let Some(value) = after.strip_prefix('=') {
                return self.take(flag, value.to_owned());
            }
            if let Some(bare) = flag.bare {
                self.take(flag, bare.to_owned())?;
                continue;
            }
            if !after.is_empty() {
                return self.take(flag, after.to_owned());
            }
            let next = words.next().cloned();
            let value =
                next.ok_or_else(|| self.wrong(format!("flag needs an argument: {short:?} in -{group}")))?;
            return self.take(flag, value);
        }
        Ok(())
    }

    fn take(&mut self, flag: &'static Flag, value: String) -> Result {
        if let Err(reason) = check(flag.kind, &value) {
            let name = match flag.short {
                Some(short) => format!("-{short}, --{}", flag.long),
                None => format!("--{}", flag.long),
            };
            return Err(self.wrong(format!("invalid argument {value:?} for \"{name}\" flag: {reason}")));
        }
        self.values.entry(flag.long).or_default().push(value);
        Ok(())
    }

    fn wrong(&self, text: String) -> Error {
        Error::Said(format!("{text}\nSee '{} --help' for usage.", self.path))
    }

    /// The nearest flag, where one is near.
    fn did_you_mean(&self, name: &str) -> String {
        let names = self.command.flags.iter().flat_map(|set| set.iter()).chain(GLOBAL).map(|flag| flag.long);
        match nearest(name, names) {
            Some(near) if std::io::IsTerminal::is_terminal(&std::io::stderr()) => {
                format!(" (did you mean --{near}?)")
            }
            _ => String::new(),
        }
    }
}

fn check(kind: Kind, value: &str) -> std::result::Result<(), String> {
    let syntax = |what: &str| format!("strconv.{what}: parsing {value:?}: invalid syntax");
    match kind {
        Kind::Switch => switch_of(value).map(drop).ok_or_else(|| syntax("ParseBool")),
        Kind::Int => match value.parse::<i64>() {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow
                ) =>
            {
                Err(format!("strconv.ParseInt: parsing {value:?}: value out of range"))
            }
            Err(_) => Err(syntax("ParseInt")),
        },
        Kind::Duration => {
            duration_of(value).map(drop).ok_or_else(|| format!("time: invalid duration {value:?}"))
        }
        Kind::Text | Kind::List | Kind::Each => Ok(()),
    }
}

/// Go's words for true and false.
pub fn switch_of(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The name at most two edits away.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|other| (distance(name, other), other))
        .filter(|(distance, other)| *distance <= 2 && *distance < other.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// Insertions, deletions and replacements between two words.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
