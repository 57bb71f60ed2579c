//! How many replicas one metric asks for. Pure.
//!
//! Upstream: pkg/controller/podautoscaler/replica_calculator.go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::pods;

/// For so long after its start a pod's CPU says nothing unless it was measured while the pod was ready.
const CPU_INITIALIZATION: Duration = Duration::from_secs(300);
/// A pod that was never ready longer than this after its start is starting.
const INITIAL_READINESS: Duration = Duration::from_secs(30);

/// What one pod uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub milli: i64,
    pub at: Timestamp,
    pub window: Duration,
}

pub(super) type Samples = BTreeMap<String, Sample>;

/// How far from the target is near enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerance {
    pub up: f64,
    pub down: f64,
}

impl Tolerance {
    pub fn holds(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What is asked of the pods of a target.
pub(super) enum Goal {
    /// A share of what each pod requests, in percent, by pod.
    Utilization { percent: i32, requests: BTreeMap<String, i64> },
    /// The same for each pod.
    Average { milli: i64 },
}

/// The answer, and what stands in the status.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposal {
    pub replicas: i32,
    pub utilization: Option<i32>,
    pub average_milli: i64,
}

/// Why a metric gives no answer, in upstream's words.
#[derive(Debug, thiserror::Error, PartialEq)]
pub(super) enum Error {
    #[error("no pods returned by selector while calculating replica count")]
    NoPods,
    #[error("did not receive metrics for targeted pods (pods might be unready)")]
    NoMetrics,
    #[error("no metrics returned matched known pods")]
    NoneMatched,
}

/// Pods by what their metric is worth.
#[derive(Default)]
struct Groups {
    ready: usize,
    unready: BTreeSet<String>,
    missing: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

fn group(all: &[Arc<Pod>], samples: &Samples, is_cpu: bool, now: Timestamp) -> Groups {
    let mut groups = Groups::default();
    for pod in all {
        let name = pod.metadata.name.clone().unwrap_or_default();
        if pods::is_terminating(pod) || pods::phase(pod) == "Failed" {
            groups.ignored.insert(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.insert(name);
        } else {
            match samples.get(&name) {
                None => _ = groups.missing.insert(name),
                Some(sample) if is_cpu && is_starting(pod, sample, now) => _ = groups.unready.insert(name),
                Some(_) => groups.ready += 1,
            }
        }
    }
    groups
}

fn is_starting(pod: &Pod, sample: &Sample, now: Timestamp) -> bool {
    let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    let (Some(condition), Some(start)) = (pods::condition(pod, "Ready"), start) else { return true };
    let (unready, since) =
        (condition.status == "False", condition.last_transition_time.as_ref().map(|time| time.0));
    if start + CPU_INITIALIZATION > now {
        return unready || since.is_some_and(|since| sample.at < since + sample.window);
    }
    unready && since.is_some_and(|since| start + INITIAL_READINESS > since)
}

/// The usage against the goal: ratio, utilization in percent, average.
fn ratio(samples: &Samples, goal: &Goal) -> Option<(f64, Option<i32>, i64)> {
    match goal {
        Goal::Average { milli } => {
            let total: i64 = samples.values().map(|sample| sample.milli).sum();
            let average = total / samples.len().max(1) as i64;
            Some((average as f64 / *milli as f64, None, average))
        }
        Goal::Utilization { percent, requests } => {
            let known = samples.iter().filter_map(|(name, sample)| Some((sample.milli, requests.get(name)?)));
            let (mut used, mut asked, mut count) = (0, 0, 0);
            for (milli, request) in known {
                (used, asked, count) = (used + milli, asked + request, count + 1);
            }
            let utilization = (used * 100).checked_div(asked)?;
            Some((utilization as f64 / f64::from(*percent), Some(utilization as i32), used / count))
        }
    }
}

/// How many replicas bring the pods to their goal. Pods that tell nothing are taken for what changes least.
pub(super) fn of_pods(
    current: i32,
    all: &[Arc<Pod>],
    mut samples: Samples,
    goal: &Goal,
    is_cpu: bool,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<Proposal, Error> {
    if all.is_empty() {
        return Err(Error::NoPods);
    }
    let groups = group(all, &samples, is_cpu, now);
    samples.retain(|name, _| !groups.ignored.contains(name) && !groups.unready.contains(name));
    if samples.is_empty() {
        return Err(Error::NoMetrics);
    }
    let (first, utilization, average_milli) = ratio(&samples, goal).ok_or(Error::NoneMatched)?;
    let propose = |replicas| Ok(Proposal { replicas, utilization, average_milli });
    let grows_with_unready = !groups.unready.is_empty() && first > 1.0;
    if !grows_with_unready && groups.missing.is_empty() {
        let exact = (first * groups.ready as f64).ceil() as i32;
        return propose(if tolerance.holds(first) { current } else { exact });
    }
    fill_in(&mut samples, &groups, goal, first, now);
    let (second, ..) = ratio(&samples, goal).ok_or(Error::NoneMatched)?;
    let turned = (first < 1.0 && second > 1.0) || (first > 1.0 && second < 1.0);
    if tolerance.holds(second) || turned {
        return propose(current);
    }
    let replicas = (second * samples.len() as f64).ceil() as i32;
    let against = (second < 1.0 && replicas > current) || (second > 1.0 && replicas < current);
    propose(if against { current } else { replicas })
}

/// Missing pods use all they may when the target shrinks, and nothing when it grows; unready ones nothing.
fn fill_in(samples: &mut Samples, groups: &Groups, goal: &Goal, ratio: f64, now: Timestamp) {
    let idle = Sample { milli: 0, at: now, window: Duration::ZERO };
    for name in &groups.missing {
        let milli = match goal {
            _ if ratio > 1.0 => 0,
            Goal::Average { milli } => *milli,
            Goal::Utilization { percent, requests } => {
                requests.get(name).copied().unwrap_or(0) * i64::from((*percent).max(100)) / 100
            }
        };
        if ratio != 1.0 {
            samples.insert(name.clone(), Sample { milli, ..idle });
        }
    }
    if ratio > 1.0 {
        samples.extend(groups.unready.iter().map(|name| (name.clone(), idle)));
    }
}

/// A metric that is not of the pods, against one value for all of them.
pub(super) fn of_value(current: i32, ready: i32, usage: i64, target: i64, tolerance: Tolerance) -> i32 {
    let ratio = usage as f64 / target as f64;
    if current == 0 {
        return ratio.ceil() as i32;
    }
    if tolerance.holds(ratio) { current } else { (ratio * f64::from(ready)).ceil() as i32 }
}

/// The same against a share for each replica.
pub(super) fn of_average(status_replicas: i32, usage: i64, target: i64, tolerance: Tolerance) -> i32 {
    let ratio = usage as f64 / (target as f64 * f64::from(status_replicas));
    if tolerance.holds(ratio) { status_replicas } else { (usage as f64 / target as f64).ceil() as i32 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TENTH: Tolerance = Tolerance { up: 0.1, down: 0.1 };

    fn now() -> Timestamp {
        Timestamp::from_second(10_000).expect("in range")
    }

    /// `ready`, `pending`, `failed`, `ending`, or `starting`: ready not long enough to be measured.
    fn pods(words: &str) -> Vec<Arc<Pod>> {
        let pod = |(at, state): (usize, &str)| {
            let phase = match state {
                "pending" => "Pending",
                "failed" => "Failed",
                _ => "Running",
            };
            let start = if state == "starting" { "1970-01-01T02:46:30Z" } else { "1970-01-01T00:00:00Z" };
            let pod = json!({"metadata": {"name": format!("p{at}"), "deletionTimestamp": (state == "ending").then_some(start)},
                "status": {"phase": phase, "startTime": start, "conditions": [{"type": "Ready", "lastTransitionTime": start,
                    "status": if state == "starting" { "False" } else { "True" }}]}});
            Arc::new(serde_json::from_value(pod).expect("a pod"))
        };
        words.split_whitespace().enumerate().map(pod).collect()
    }

    fn check(current: i32, words: &str, used: &[i64], percent: i32, expected: Result<i32, Error>) {
        let pods = pods(words);
        let sample = |milli: &i64| Sample { milli: *milli, at: now(), window: Duration::from_secs(30) };
        let samples = used.iter().enumerate().map(|(at, milli)| (format!("p{at}"), sample(milli)));
        let samples = samples.filter(|(_, sample)| sample.milli >= 0).collect();
        let requests = (0..pods.len()).map(|at| (format!("p{at}"), 1000)).collect();
        let goal = Goal::Utilization { percent, requests };
        let found =
            of_pods(current, &pods, samples, &goal, true, TENTH, now()).map(|proposal| proposal.replicas);
        assert_eq!(found, expected, "{words} {used:?}");
    }

    #[test]
    fn utilization_decides_and_silent_pods_damp() {
        check(3, "ready ready ready", &[300, 500, 700], 30, Ok(5));
        check(3, "ready ready ready", &[100, 300, 500], 50, Ok(2));
        check(3, "ready ready ready", &[1010, 1030, 1020], 100, Ok(3));
        check(3, "ready ready ready pending", &[400, 500, 700], 30, Ok(6));
        check(3, "starting ready ready", &[300, 500, 700], 30, Ok(4));
        check(3, "ready starting starting", &[600, 700, 800], 30, Ok(3));
        check(3, "ready ready ready", &[-1, 500, 700], 40, Ok(3));
        check(3, "ready ready ready", &[-1, 100, 100], 50, Ok(3));
        check(3, "ready failed ending", &[900, 0, 0], 50, Ok(2));
        check(3, "", &[], 50, Err(Error::NoPods));
        check(1, "pending", &[], 50, Err(Error::NoMetrics));
    }

    #[test]
    fn values_of_other_things() {
        assert_eq!(of_value(3, 3, 6000, 4000, TENTH), 5);
        assert_eq!(of_value(3, 3, 4100, 4000, TENTH), 3);
        assert_eq!(of_value(0, 0, 6000, 4000, TENTH), 2);
        assert_eq!(of_average(3, 12_000, 2000, TENTH), 6);
        assert_eq!(of_average(3, 6100, 2000, TENTH), 3);
    }
}
