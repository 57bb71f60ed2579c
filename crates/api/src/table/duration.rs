//! How long ago, as kubectl prints it: `5s`, `3m20s`, `4h`, `2d3h`, `1y20d`.
//!
//! Upstream: apimachinery/pkg/util/duration, HumanDuration.

use jiff::Timestamp;

/// Two units at most, the second one only while the first is small.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match () {
        // clocks of two machines may differ by a second
        _ if seconds < -1 => "<invalid>".into(),
        _ if seconds < 0 => "0s".into(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(hours / 24, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

fn two(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large}{large_unit}")
    } else {
        format!("{large}{large_unit}{small}{small_unit}")
    }
}

/// The age of an RFC 3339 time; `<unknown>` where there is none.
pub fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => human_duration(seconds_between(then, now)),
        // absent or not a time: both have no age
        Err(_) => "<unknown>".into(),
    }
}

pub(super) fn seconds_between(then: Timestamp, now: Timestamp) -> i64 {
    now.duration_since(then).as_secs()
}

#[cfg(test)]
mod tests {
    use super::human_duration;
    use expect_test::expect;

    #[test]
    fn units() {
        let hour = 3600;
        let cases = [
            -5,
            -1,
            0,
            119,
            120,
            125,
            600,
            3 * hour - 1,
            3 * hour,
            3 * hour + 60,
            8 * hour,
            47 * hour,
            48 * hour,
            49 * hour,
            192 * hour,
            24 * 365 * 2 * hour,
            (24 * 365 * 3 + 48) * hour,
            24 * 365 * 9 * hour,
        ];
        let texts: Vec<String> = cases.iter().map(|seconds| human_duration(*seconds)).collect();
        expect!["<invalid> 0s 0s 119s 2m 2m5s 10m 179m 3h 3h1m 8h 47h 2d 2d1h 8d 2y 3y2d 9y"]
            .assert_eq(&texts.join(" "));
    }
}
