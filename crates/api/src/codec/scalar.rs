//! Values that JSON writes as strings and that have a canonical form: times, durations, base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;

static PARSER: DateTimeParser = DateTimeParser::new();

/// Reads RFC 3339, as Go's time.Parse does, with Go's complaint.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    PARSER.parse_timestamp(text).ok().filter(|_| text.as_bytes().get(10) == Some(&b'T')).ok_or_else(|| {
        format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\"")
    })
}

/// `2006-01-02T15:04:05Z`: a Time has whole seconds.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2006-01-02T15:04:05.000000Z`: a MicroTime always has six digits.
pub(crate) fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    // Go's decoder passes over line breaks.
    let text: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    STANDARD.decode(text).ok()
}

pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

const UNITS: [(&str, i64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads Go's `1h2m3.5s` to nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = UNITS.iter().find(|(name, _)| *name == &rest[..end])?.1;
        rest = &rest[end..];
        total = total.checked_add((number * unit as f64).round() as i64)?;
    }
    Some(if negative { -total } else { total })
}

/// Go's form of nanoseconds.
pub(crate) fn duration(nanos: i64) -> String {
    let (sign, left) = (if nanos < 0 { "-" } else { "" }, nanos.unsigned_abs());
    let fraction = |value: u64, unit: u64, name: &str| {
        let text = format!("{}.{:0width$}", value / unit, value % unit, width = unit.ilog10() as usize);
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let text = match left {
        0 => "0s".into(),
        1..1_000 => format!("{left}ns"),
        1_000..1_000_000 => fraction(left, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(left, 1_000_000, "ms"),
        _ => {
            let (minutes, seconds) = (left / 60_000_000_000, left % 60_000_000_000);
            let seconds = fraction(seconds, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        for text in ["0s", "1ns", "1.5µs", "20ms", "1s", "1m0s", "1h2m3.5s", "-5s", "876000h0m0s"] {
            assert_eq!(duration(parse_duration(text).expect("a duration")), text);
        }
        assert_eq!(parse_duration("5"), None);
    }

    #[test]
    fn times_have_seconds_or_six_digits() {
        let at = parse_time("2026-01-02T03:04:05.6789+01:00").expect("a time");
        assert_eq!(
            (time(at), micro_time(at)),
            ("2026-01-02T02:04:05Z".into(), "2026-01-02T02:04:05.678900Z".into())
        );
        assert!(parse_time("yesterday").is_err());
    }
}
