//! The flags of one call, with the table's defaults where none was given.

use std::collections::HashMap;
use std::time::Duration;

use super::parse::switch_of;
use super::shared::GLOBAL;
use super::{Command, Flag, Kind};

pub struct Given {
    command: &'static Command,
    values: HashMap<&'static str, Vec<String>>,
}

impl Given {
    pub fn new(command: &'static Command, values: HashMap<&'static str, Vec<String>>) -> Self {
        Self { command, values }
    }

    fn flag(&self, long: &str) -> Option<&'static Flag> {
        self.command.flag(long).or_else(|| GLOBAL.iter().find(|flag| flag.long == long))
    }

    /// Whether it stands on the command line.
    pub fn has(&self, long: &str) -> bool {
        self.values.contains_key(long)
    }

    /// Whether the command has a flag of its own by this name.
    pub fn is_own(&self, long: &str) -> bool {
        self.command.flag(long).is_some()
    }

    /// Its text; empty for a flag that the command does not have.
    pub fn text(&self, long: &str) -> &str {
        let given = self.values.get(long).and_then(|values| values.last());
        match given {
            Some(value) => value,
            None => self.flag(long).map_or("", |flag| flag.default),
        }
    }

    pub fn on(&self, long: &str) -> bool {
        // The parser refused everything that is no switch.
        switch_of(self.text(long)).unwrap_or(false)
    }

    pub fn int(&self, long: &str) -> i64 {
        // The parser refused everything that is no number.
        self.text(long).parse().unwrap_or(0)
    }

    pub fn list(&self, long: &str) -> Vec<String> {
        let Some(flag) = self.flag(long) else { return Vec::new() };
        let default = || flag.default.split(',').filter(|text| !text.is_empty()).map(str::to_owned).collect();
        let Some(values) = self.values.get(long) else { return default() };
        match flag.kind {
            Kind::List => values
                .iter()
                .filter(|value| !value.is_empty())
                .flat_map(|value| value.split(','))
                .map(|value| value.trim_matches('"').to_owned())
                .collect(),
            _ => values.clone(),
        }
    }

    pub fn duration(&self, long: &str) -> Duration {
        // The parser refused everything that is no duration.
        duration_of(self.text(long))
            .map_or(Duration::ZERO, |seconds| Duration::from_secs_f64(seconds.max(0.0)))
    }

    /// Seconds, below zero too.
    pub fn seconds(&self, long: &str) -> f64 {
        duration_of(self.text(long)).unwrap_or(0.0)
    }
}

/// Go's durations, in seconds: `1h2m3.5s`, `300ms`, `-1s`, `0`.
pub fn duration_of(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    Some(sign * seconds)
}
