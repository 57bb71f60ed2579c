//! Outside of everything that may wait: short requests end after a minute, or when the client says.
//!
//! Upstream: apiserver/pkg/endpoints/filters/request_deadline.go.

use std::time::Duration;

use async_trait::async_trait;
use stdx::Clock;

use super::{Next, Stage};
use crate::error::{ApiError, Result};
use crate::request_info::form_pairs;
use crate::{Request, RequestInfo, Response};

const LONGEST: Duration = Duration::from_secs(60);

pub(super) struct Deadline {
    clock: Clock,
}

impl Deadline {
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

#[async_trait]
impl Stage for Deadline {
    async fn call(&self, request: Request, next: Next<'_>) -> Result<Response> {
        let info = request.extensions().get::<RequestInfo>();
        if info.is_some_and(|info| info.is_long_running()) {
            return next.run(request).await;
        }
        let limit = wanted(request.uri().query().unwrap_or(""))?.map_or(LONGEST, |t| t.min(LONGEST));
        tokio::select! {
            answer = next.run(request) => answer,
            () = self.clock.sleep(limit) => Err(ApiError::timeout(
                "request did not complete within the allotted timeout", 0)),
        }
    }
}

/// `?timeout=30s`.
fn wanted(query: &str) -> Result<Option<Duration>> {
    let Some((_, text)) = form_pairs(query).into_iter().find(|(key, _)| key == "timeout") else {
        return Ok(None);
    };
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = go_duration(&text).ok_or_else(|| {
        ApiError::bad_request(format!(
            "invalid timeout specified in the request URL - time: invalid duration {text:?}"
        ))
    })?;
    Ok((!parsed.is_zero()).then_some(parsed))
}

/// `1h2m3.5s`, as Go writes durations.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?; // not a number: not a duration
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[unit_end..];
        total += number * seconds;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let cases = [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            ("5", None),
            ("x", None),
            ("", None),
        ];
        for (text, millis) in cases {
            assert_eq!(go_duration(text).map(|d| d.as_millis()), millis, "{text}");
        }
    }
}
