//! Two looks at a node become what it uses.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::text::{Counters, Look, Place};

/// A rate over less than this tells noise.
const SHORTEST: Duration = Duration::from_millis(900);
/// Upstream's kubelet looks as often by itself: an earlier look is replaced once it is so old …
const USUAL: Duration = Duration::from_secs(10);
/// … and of no use once it is older than this: "now" is no average over an hour.
const LONGEST: Duration = Duration::from_secs(60);

/// The looks at all nodes.
#[derive(Default)]
pub struct Metrics(Mutex<HashMap<String, Arc<Looks>>>);

impl Metrics {
    pub(super) fn of(&self, node: &str) -> Arc<Looks> {
        self.0.lock().entry(node.to_owned()).or_default().clone()
    }
}

/// The looks at one node, oldest first; three at most.
#[derive(Default)]
pub(super) struct Looks(Mutex<Vec<Look>>);

/// Whether rates can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enough {
    Yes,
    No,
}

/// What a node and its containers use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub node: Option<Rate>,
    pub containers: BTreeMap<Place, Rate>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    pub at: Timestamp,
    pub window: Duration,
    pub cpu_nanocores: u64,
    pub memory_bytes: u64,
}

impl Looks {
    pub fn add(&self, look: Look) {
        let mut looks = self.0.lock();
        looks.retain(|old| old.node.at < look.node.at && between(old.node.at, look.node.at) <= LONGEST);
        // Of those that are old enough, the newest is the one to compare with later.
        let usable = looks.iter().rposition(|old| between(old.node.at, look.node.at) >= USUAL);
        looks.drain(..usable.unwrap_or(0));
        looks.push(look);
        if looks.len() > 3 {
            looks.remove(1);
        }
    }

    pub fn enough(&self) -> Enough {
        let looks = self.0.lock();
        let Some(newest) = looks.last() else { return Enough::No };
        if rate(&looks, &newest.node, |look| Some(&look.node)).is_some() { Enough::Yes } else { Enough::No }
    }

    pub fn usage(&self) -> Usage {
        let looks = self.0.lock();
        let Some(newest) = looks.last() else { return Usage::default() };
        let containers = newest.containers.iter().filter_map(|(place, now)| {
            let rate = rate(&looks, now, |look| look.containers.get(place))?;
            Some((place.clone(), rate))
        });
        Usage { node: rate(&looks, &newest.node, |look| Some(&look.node)), containers: containers.collect() }
    }
}

/// From the oldest look that is kept, else from the start.
fn rate<'a>(
    looks: &'a [Look],
    now: &Counters,
    of: impl Fn(&'a Look) -> Option<&'a Counters>,
) -> Option<Rate> {
    let earlier = looks[..looks.len() - 1].iter().filter_map(of).find(|old| {
        let restarted = old.started != now.started || old.cpu_seconds > now.cpu_seconds;
        !restarted && between(old.at, now.at) >= SHORTEST
    });
    let (since, cpu_before) = match earlier {
        Some(old) => (old.at, old.cpu_seconds?),
        None => (now.started.filter(|started| between(*started, now.at) <= LONGEST)?, 0.0),
    };
    let window = between(since, now.at).max(SHORTEST);
    let cores = (now.cpu_seconds? - cpu_before).max(0.0) / window.as_secs_f64();
    Some(Rate {
        at: now.at,
        window,
        cpu_nanocores: (cores * 1e9) as u64,
        memory_bytes: now.memory_bytes? as u64,
    })
}

/// Zero if `to` lies before `from`.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn counters(second: i64, cpu: f64, started: Option<i64>) -> Counters {
        let at = |second| Timestamp::from_second(second).expect("in range");
        Counters {
            at: at(second),
            cpu_seconds: Some(cpu),
            memory_bytes: Some(1024.0),
            started: started.map(at),
        }
    }

    /// Looks at a node that uses one core, with a container that began at second 95 and uses half a core.
    fn check(seconds: &[i64], expected: Expect) {
        let looks = Looks::default();
        for second in seconds {
            let container = counters(*second, (*second - 95) as f64 / 2.0, Some(95));
            let place = ("n".to_owned(), "p".to_owned(), "c".to_owned());
            let node = counters(*second, *second as f64, None);
            looks.add(Look { node, containers: BTreeMap::from([(place, container)]) });
        }
        let usage = looks.usage();
        let tell = |rate: &Rate| format!("{} over {:?}", rate.cpu_nanocores, rate.window);
        let node = usage.node.as_ref().map(tell).unwrap_or_default();
        let containers: Vec<String> = usage.containers.values().map(tell).collect();
        expected.assert_eq(&format!("{:?}: node {node:?}, containers {containers:?}", looks.enough()));
    }

    #[test]
    fn a_rate_needs_two_looks_or_a_start() {
        check(&[100], expect![[r#"No: node "", containers ["500000000 over 5s"]"#]]);
        check(&[100, 101], expect![[r#"Yes: node "1000000000 over 1s", containers ["500000000 over 1s"]"#]]);
        check(
            &[100, 101, 102, 103, 120],
            expect![[r#"Yes: node "1000000000 over 17s", containers ["500000000 over 17s"]"#]],
        );
        check(&[100, 1000], expect![[r#"No: node "", containers []"#]]);
    }
}
