//! Cron expressions with five fields, and the moments that they name. Pure.
//!
//! Upstream: github.com/robfig/cron/v3, `ParseStandard`, whose fine points users depend on: `?` is `*`; a day matches
//! the day of the month *or* of the week unless one of them is `*`; an hour that a clock change leaves out is not
//! made up for; `@daily` and the other descriptors; `@every 5m`.

use std::time::Duration;

use jiff::civil::{Date, Time};
use jiff::tz::{Disambiguation, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Five years without a moment: the expression names none (30 February).
const HORIZON_YEARS: i16 = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    Fields(Box<Fields>),
    Every(Duration),
}

/// A bit for each value that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

/// Why an expression cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ParseError {
    #[error("expected exactly 5 fields, found {found}: [{text}]")]
    Fields { found: usize, text: String },
    #[error("failed to parse {what}: {text}")]
    Field { what: &'static str, text: String },
    #[error("unrecognized descriptor: {text}")]
    Descriptor { text: String },
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What a field may hold.
struct Bounds {
    what: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: Bounds = Bounds { what: "minutes", min: 0, max: 59, names: &[] };
const HOUR: Bounds = Bounds { what: "hours", min: 0, max: 23, names: &[] };
const DAY: Bounds = Bounds { what: "day of month", min: 1, max: 31, names: &[] };
const MONTH: Bounds = Bounds { what: "month", min: 1, max: 12, names: &MONTHS };
const WEEKDAY: Bounds = Bounds { what: "day of week", min: 0, max: 6, names: &WEEKDAYS };

impl Schedule {
    /// Reads an expression. A time zone that stands in it (`TZ=`, `CRON_TZ=`) is for [`split_zone`] to take off.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.starts_with('@') {
            return descriptor(text);
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words[..] else {
            return Err(ParseError::Fields { found: words.len(), text: words.join(" ") });
        };
        let is_any = |word: &str| {
            word.split(',').any(|part| {
                let base = part.split('/').next().unwrap_or_default();
                // With a step the star no longer counts as one.
                (base == "*" || base == "?") && part.split_once('/').is_none_or(|(_, step)| step == "1")
            })
        };
        Ok(Self::Fields(Box::new(Fields {
            minutes: field(minute, &MINUTE)?,
            hours: field(hour, &HOUR)?,
            days: field(day, &DAY)?,
            months: field(month, &MONTH)?,
            weekdays: field(weekday, &WEEKDAY)?,
            any_day: is_any(day),
            any_weekday: is_any(weekday),
        })))
    }

    /// The first moment after `after`; none if there is none within five years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Every(interval) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(*interval).ok()
            }
            Self::Fields(fields) => fields.next(after, zone),
        }
    }
}

fn descriptor(text: &str) -> Result<Schedule, ParseError> {
    let unknown = || ParseError::Descriptor { text: text.to_owned() };
    let fields = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let interval = text.strip_prefix("@every ").and_then(duration).ok_or_else(unknown)?;
            return Ok(Schedule::Every(interval.max(Duration::from_secs(1))));
        }
    };
    Schedule::parse(fields)
}

/// A duration as Go writes it (`1h30m`), in whole seconds.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text.trim(), 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        // What is no number is no duration, and told so by the caller.
        let value: f64 = rest[..number].parse().ok()?;
        rest = &rest[number..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += value
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Some(Duration::from_secs(seconds as u64))
}

fn field(text: &str, bounds: &Bounds) -> Result<u64, ParseError> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    let bits = parts.map(|part| range(part, bounds)).collect::<Option<Vec<_>>>();
    let bits = bits.ok_or_else(|| ParseError::Field { what: bounds.what, text: text.to_owned() })?;
    Ok(bits.into_iter().fold(0, |all, bits| all | bits))
}

/// `5`, `1-5`, `*`, each with `/step`.
fn range(text: &str, bounds: &Bounds) -> Option<u64> {
    let (base, step) = match text.split_once('/') {
        Some((base, step)) => (base, Some(number(step)?)),
        None => (text, None),
    };
    let (first, last) = match base.split_once('-') {
        _ if base == "*" || base == "?" => (bounds.min, bounds.max),
        Some((first, last)) => (value(first, bounds)?, value(last, bounds)?),
        None => {
            let first = value(base, bounds)?;
            // `5/15` is from 5 to the end.
            (first, if step.is_some() { bounds.max } else { first })
        }
    };
    let step = step.unwrap_or(1);
    if first < bounds.min || last > bounds.max || first > last || step == 0 {
        return None;
    }
    Some((first..=last).step_by(step as usize).fold(0, |bits, value| bits | 1 << value))
}

fn value(text: &str, bounds: &Bounds) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(at) => Some(bounds.min + at as u32),
        None => number(text),
    }
}

fn number(text: &str) -> Option<u32> {
    // What is no number is no field, and told so by the caller.
    text.parse().ok()
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1 << value) != 0
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = after.to_zoned(zone.clone()).datetime();
        let last = start.year().checked_add(HORIZON_YEARS)?;
        let mut date = start.date();
        while date.year() <= last {
            if !has(self.months, date.month()) {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                continue;
            }
            if self.has_day(date)
                && let Some(found) = self.on(date, after, zone)
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }

    /// The first moment of a day that is after `after`.
    fn on(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        let times = hours.flat_map(|hour| {
            (0..60)
                .filter(|minute| has(self.minutes, *minute))
                .map(move |minute| Time::constant(hour, minute, 0, 0))
        });
        let moments = times.flat_map(|time| moments(date, time, zone));
        moments.filter(|moment| *moment > after).min()
    }
}

/// When the clocks show this: never, once, or twice.
fn moments(date: Date, time: Time, zone: &TimeZone) -> impl Iterator<Item = Timestamp> + use<> {
    let civil = zone.to_ambiguous_zoned(date.to_datetime(time));
    let twice = [Disambiguation::Earlier, Disambiguation::Later].map(|choice| {
        // A time out of the calendar's range is no moment.
        civil
            .clone()
            .disambiguate(choice)
            .ok()
            .filter(|zoned| zoned.time() == time)
            .map(|zoned| zoned.timestamp())
    });
    twice.into_iter().flatten()
}

/// Takes `TZ=Zone ` or `CRON_TZ=Zone ` off an expression.
pub(super) fn split_zone(text: &str) -> (Option<&str>, &str) {
    let rest = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="));
    match rest.and_then(|rest| rest.split_once(' ')) {
        Some((zone, schedule)) => (Some(zone), schedule.trim()),
        None => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, after: &str, zone: &str) -> String {
        let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::get(zone).expect("a zone") };
        let schedule = Schedule::parse(expression).expect("a schedule");
        let after: Timestamp = after.parse().expect("a time");
        schedule.next(after, &zone).map_or("never".into(), |next| next.to_string())
    }

    #[test]
    fn names_the_next_moment() {
        for (expression, after, expected) in [
            ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
            ("*/15 * * * *", "2026-01-01T00:14:59Z", "2026-01-01T00:15:00Z"),
            ("0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("30 4 1 1 *", "2026-01-01T04:30:00Z", "2027-01-01T04:30:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 0 30 2 *", "2026-01-01T00:00:00Z", "never"),
            ("0 0 13 * fri", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("0 0 13 * ?", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z"),
            ("0 9-17/4 * jan-mar mon", "2026-01-01T00:00:00Z", "2026-01-05T09:00:00Z"),
            ("5/20 * * * *", "2026-01-01T00:05:00Z", "2026-01-01T00:25:00Z"),
            ("@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("@every 1h30m", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z"),
        ] {
            assert_eq!(next(expression, after, "UTC"), expected, "{expression}");
        }
    }

    #[test]
    fn clocks_change() {
        let zone = "Europe/Berlin";
        assert_eq!(next("0 12 * * *", "2026-07-01T00:00:00Z", zone), "2026-07-01T10:00:00Z");
        // 29 March has no 2:30; 25 October has two.
        assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z", zone), "2026-03-30T00:30:00Z");
        assert_eq!(next("30 2 * * *", "2026-10-25T00:00:00Z", zone), "2026-10-25T00:30:00Z");
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "* * 0 * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "x * * * *",
            "@often",
            "@every x",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
        assert_eq!(split_zone("TZ=UTC 0 0 * * *"), (Some("UTC"), "0 0 * * *"));
    }
}
