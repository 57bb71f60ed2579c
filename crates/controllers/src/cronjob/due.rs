//! Which moment of a schedule a job is to be made for, and when to look again. Pure.
//!
//! Upstream: pkg/controller/cronjob/utils.go, `mostRecentScheduleTime`, `nextScheduleTimeDuration`.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::CronJob;

use super::schedule::Schedule;

/// A little later than the moment itself, so that it has passed on every clock involved.
const AFTERWARDS: Duration = Duration::from_millis(100);
/// More missed moments than this are told: the clock may be wrong.
const MANY: i64 = 100;

/// What the schedule asks for now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The newest moment that has passed and was not met.
    pub moment: Option<Timestamp>,
    pub missed_many: bool,
}

pub(super) fn due(cron: &CronJob, schedule: &Schedule, zone: &TimeZone, now: Timestamp) -> Due {
    let mut earliest = earliest(cron);
    let deadline = cron.spec.starting_deadline_seconds;
    if let Some(seconds) = deadline {
        earliest = earliest.max(now - Duration::from_secs(seconds.max(0) as u64));
    }
    let Some(first) = schedule.next(earliest, zone).filter(|first| *first <= now) else {
        return Due::default();
    };
    let Some(second) = schedule.next(first, zone).filter(|second| *second <= now) else {
        return Due { moment: Some(first), missed_many: false };
    };
    let between = (second.as_second() - first.as_second()).max(1);
    let missed = (now.as_second() - first.as_second()) / between + 1;
    // Skips most of what was missed, then walks: moments need not be evenly apart.
    let skipped = Duration::from_secs(((missed - 2).max(0) * between) as u64);
    let walk = std::iter::successors(schedule.next(first + skipped, zone), |at| schedule.next(*at, zone));
    let moment = walk.take_while(|at| *at <= now).last().or(Some(second));
    Due { moment, missed_many: missed > MANY }
}

fn earliest(cron: &CronJob) -> Timestamp {
    let last = cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let created = cron.metadata.creation_timestamp.as_ref();
    last.or(created).map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// How long until the next moment, seen from the last one that was met or passed.
pub(super) fn until_next(
    cron: &CronJob,
    schedule: &Schedule,
    zone: &TimeZone,
    met: Option<Timestamp>,
    now: Timestamp,
) -> Option<Duration> {
    let from = met.unwrap_or_else(|| earliest(cron));
    let next = schedule.next(from, zone).filter(|next| *next > now).or_else(|| schedule.next(now, zone))?;
    Some(Duration::try_from(next.duration_since(now)).unwrap_or_default() + AFTERWARDS)
}

/// Whether the deadline for starting has passed.
pub(super) fn is_too_late(cron: &CronJob, moment: Timestamp, now: Timestamp) -> bool {
    let deadline = cron.spec.starting_deadline_seconds;
    deadline.is_some_and(|seconds| moment + Duration::from_secs(seconds.max(0) as u64) < now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(expression: &str, last: &str, deadline: Option<i64>, now: &str, expected: (Option<&str>, bool)) {
        let cron = json!({"metadata": {"name": "c", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"schedule": expression, "startingDeadlineSeconds": deadline, "jobTemplate": {}},
            "status": {"lastScheduleTime": (!last.is_empty()).then_some(last)}});
        let cron = serde_json::from_value(cron).expect("a cron job");
        let schedule = Schedule::parse(expression).expect("a schedule");
        let found = due(&cron, &schedule, &TimeZone::UTC, now.parse().expect("a time"));
        let moment = found.moment.map(|moment| moment.to_string());
        assert_eq!((moment.as_deref(), found.missed_many), expected, "{expression} {now}");
    }

    #[test]
    fn the_newest_missed_moment_is_met() {
        check("0 * * * *", "", None, "2026-01-01T00:30:00Z", (None, false));
        check("0 * * * *", "", None, "2026-01-01T01:00:01Z", (Some("2026-01-01T01:00:00Z"), false));
        check("0 * * * *", "2026-01-01T01:00:00Z", None, "2026-01-01T01:00:05Z", (None, false));
        check("0 * * * *", "", None, "2026-01-01T05:30:00Z", (Some("2026-01-01T05:00:00Z"), false));
        check("* * * * *", "", None, "2026-01-02T00:00:30Z", (Some("2026-01-02T00:00:00Z"), true));
        check("* * * * *", "", Some(60), "2026-01-02T00:00:30Z", (Some("2026-01-02T00:00:00Z"), false));
        check("0 * * * *", "", Some(60), "2026-01-02T00:30:00Z", (None, false));
        // Weekdays only: the gap over the weekend is longer than the others.
        check(
            "0 9 * * 1-5",
            "2026-01-01T09:00:00Z",
            None,
            "2026-01-06T08:00:00Z",
            (Some("2026-01-05T09:00:00Z"), false),
        );
    }
}
