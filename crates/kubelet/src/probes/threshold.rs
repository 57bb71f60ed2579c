//! From single findings to a verdict: so many in a row. Pure.
//!
//! Upstream: pkg/kubelet/prober/worker.go.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

use super::results::{Kind, Outcome};

/// A probe's numbers with upstream's defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timing {
    pub initial_delay: Duration,
    pub period: Duration,
    pub timeout: Duration,
    pub success: u32,
    pub failure: u32,
}

pub(crate) fn timing(probe: &Probe) -> Timing {
    let positive = |value: Option<i32>, default: u32| {
        value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
    };
    let seconds = |value, default| Duration::from_secs(u64::from(positive(value, default)));
    Timing {
        initial_delay: seconds(probe.initial_delay_seconds, 0),
        period: seconds(probe.period_seconds, 10),
        timeout: seconds(probe.timeout_seconds, 1),
        success: positive(probe.success_threshold, 1),
        failure: positive(probe.failure_threshold, 3),
    }
}

/// Counts equal findings in a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streak {
    last: Option<Outcome>,
    length: u32,
}

impl Streak {
    /// The verdict, once the streak is long enough.
    pub fn observe(&mut self, found: Outcome, timing: &Timing) -> Option<Outcome> {
        if self.last == Some(found) {
            self.length += 1;
        } else {
            self.last = Some(found);
            self.length = 1;
        }
        let needed = if found == Outcome::Success { timing.success } else { timing.failure };
        (self.length >= needed).then_some(found)
    }
}

/// What holds before the first verdict.
pub(crate) fn initial(kind: Kind) -> Outcome {
    match kind {
        Kind::Readiness => Outcome::Failure,
        Kind::Liveness => Outcome::Success,
        Kind::Startup => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_need_a_streak() {
        let timing = timing(&Probe { success_threshold: Some(2), ..Probe::default() });
        let mut streak = Streak::default();
        use Outcome::{Failure, Success};
        let verdicts = [Failure, Failure, Success, Failure, Failure, Failure, Success, Success]
            .map(|found| streak.observe(found, &timing));
        assert_eq!(verdicts, [None, None, None, None, None, Some(Failure), None, Some(Success)]);
    }
}
