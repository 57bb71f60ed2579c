//! How long a Job waits after failures: 10 s, twice as long for each further one, 10 minutes at most.
//!
//! Upstream: pkg/controller/job/backoff_utils.go.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::pod::{failures_before, finished_at};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// Failures since the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
    last: Option<Timestamp>,
}

impl Backoff {
    /// The record after more pods have ended; a success starts it anew.
    pub fn after<'a>(
        self,
        succeeded: impl IntoIterator<Item = &'a Pod>,
        failed: impl IntoIterator<Item = &'a Pod>,
    ) -> Self {
        let success = succeeded.into_iter().filter_map(finished_at).max();
        let start = if success.is_some() { Self::default() } else { self };
        let failures =
            failed.into_iter().filter_map(finished_at).filter(|at| success.is_none_or(|s| *at > s));
        failures
            .fold(start, |record, at| Self { failures: record.failures + 1, last: record.last.max(Some(at)) })
    }

    /// What is left of the wait; none when it is over.
    pub fn left(self, now: Timestamp) -> Option<Duration> {
        left(self.failures, self.last?, now)
    }
}

/// What is left of the wait of the index whose pod failed.
pub(super) fn left_of_index(pod: &Pod, now: Timestamp) -> Option<Duration> {
    let (counted, ignored) = failures_before(pod);
    left((counted.saturating_add(ignored).saturating_add(1)) as u32, finished_at(pod)?, now)
}

fn left(failures: u32, last: Timestamp, now: Timestamp) -> Option<Duration> {
    let doubled = failures.checked_sub(1)?;
    let wait = FIRST.saturating_mul(1_u32.checked_shl(doubled).unwrap_or(u32::MAX)).min(LONGEST);
    // A failure in the future, by another machine's clock, waits the whole time.
    let passed = Duration::try_from(now.duration_since(last)).unwrap_or_default();
    wait.checked_sub(passed).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(second: i64) -> Pod {
        let at = Timestamp::from_second(second).expect("in range").to_string();
        let state = json!({"terminated": {"exitCode": 1, "finishedAt": at}});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": {"containerStatuses": [
            {"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]}}))
        .expect("a pod")
    }

    #[test]
    fn doubles_is_bounded_and_starts_anew_after_a_success() {
        let now = Timestamp::from_second(100).expect("in range");
        let left = |record: Backoff| record.left(now).map(|left| left.as_secs());
        let once = Backoff::default().after([], [&ended(95)]);
        assert_eq!(left(once), Some(5));
        assert_eq!(left(once.after([], [&ended(100)])), Some(20));
        let many: Vec<_> = (0..40).map(|_| ended(100)).collect();
        assert_eq!(left(once.after([], &many)), Some(600));
        assert_eq!(left(once.after([&ended(99)], [&ended(98)])), None);
        assert_eq!(left(Backoff::default()), None);
    }
}
