//! How long a crashed container or a failed pull waits for its next attempt.
//!
//! Upstream: client-go/util/flowcontrol, Backoff: 10 s doubling to 300 s, forgotten after twice the longest wait.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(300);
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The waits of one pod, by container or image.
#[derive(Debug, Default)]
pub(crate) struct Backoffs(HashMap<String, Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    wait: Duration,
    updated: Timestamp,
}

impl Backoffs {
    /// What is left of the wait that began at `since`; and the whole wait.
    pub fn remaining(&self, key: &str, since: Timestamp, now: Timestamp) -> Option<Wait> {
        let entry = self.0.get(key).filter(|entry| !forgotten(entry, since))?;
        let passed = between(since, now);
        (passed < entry.wait).then(|| Wait { whole: entry.wait, left: entry.wait - passed })
    }

    /// An attempt begins after something that happened at `since`: the next one waits longer.
    pub fn next(&mut self, key: &str, since: Timestamp, now: Timestamp) {
        let wait = match self.0.get(key) {
            Some(entry) if !forgotten(entry, since) => (entry.wait * 2).min(MOST),
            _ => FIRST,
        };
        self.0.insert(key.to_owned(), Entry { wait, updated: now });
    }

    /// When the last attempt was counted.
    pub fn updated(&self, key: &str) -> Option<Timestamp> {
        self.0.get(key).map(|entry| entry.updated)
    }

    pub fn forget(&mut self, key: &str) {
        self.0.remove(key);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub whole: Duration,
    pub left: Duration,
}

fn forgotten(entry: &Entry, since: Timestamp) -> bool {
    between(entry.updated, since) > FORGOTTEN
}

/// Zero if `to` lies before `from`.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// A duration as Go prints it, for upstream's messages: `10s`, `1m20s`, `5m0s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    match minutes {
        0 => format!("{seconds}s"),
        1..60 => format!("{minutes}m{seconds}s"),
        _ => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn first_restart_is_free_then_the_wait_doubles() {
        let mut backoffs = Backoffs::default();
        assert_eq!(backoffs.remaining("a", at(0), at(0)), None);
        let mut waits = Vec::new();
        let mut now = 0;
        for _ in 0..7 {
            backoffs.next("a", at(now), at(now));
            let wait = backoffs.remaining("a", at(now), at(now)).expect("just counted").whole;
            waits.push(go_duration(wait));
            now += wait.as_secs() as i64;
        }
        assert_eq!(waits, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
        assert_eq!(backoffs.remaining("a", at(now + 601), at(now + 601)), None);
    }
}
