//! Which part of a log is wanted.

use jiff::{SignedDuration, Timestamp};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since: Option<Timestamp>,
    /// `None` for all.
    pub tail: Option<usize>,
    pub limit_bytes: Option<u64>,
    /// `stdout` or `stderr`; both if absent.
    pub stream: Option<String>,
}

/// A query that says nothing sensible.
#[derive(Debug, thiserror::Error)]
#[error("invalid value {value:?} for {key}")]
pub(crate) struct OptionsError {
    key: String,
    value: String,
}

pub(crate) fn parse(query: &str, now: Timestamp) -> Result<Options, OptionsError> {
    let mut options = Options::default();
    for (key, value) in super::super::server::query::pairs(query) {
        let bad = || OptionsError { key: key.clone(), value: value.clone() };
        match key.as_str() {
            "follow" => options.follow = flag(&value),
            "previous" => options.previous = flag(&value),
            "timestamps" => options.timestamps = flag(&value),
            "tailLines" => options.tail = Some(value.parse().map_err(|_| bad())?),
            "limitBytes" => options.limit_bytes = Some(value.parse().map_err(|_| bad())?),
            "sinceTime" => options.since = Some(value.parse().map_err(|_| bad())?),
            "sinceSeconds" => {
                let seconds: i64 = value.parse().map_err(|_| bad())?;
                options.since = Some(now - SignedDuration::from_secs(seconds));
            }
            "stream" => options.stream = Some(value.to_lowercase()).filter(|s| s != "all" && !s.is_empty()),
            _ => {}
        }
    }
    Ok(options)
}

fn flag(value: &str) -> bool {
    matches!(value, "" | "1" | "true" | "True" | "TRUE")
}
