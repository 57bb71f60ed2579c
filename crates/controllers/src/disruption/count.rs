//! The numbers of a budget. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::percent::scaled;
use crate::pods;

/// An evicted pod must have begun to go by then.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);

/// What a budget needs to be computed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The pods themselves.
    Pods,
    /// What their controllers ask for.
    Scale,
}

pub(super) fn basis(budget: &PodDisruptionBudget) -> Basis {
    let spec = budget.spec.clone().unwrap_or_default();
    match (spec.max_unavailable, spec.min_available) {
        (None, Some(IntOrString::String(_))) | (Some(_), _) => Basis::Scale,
        _ => Basis::Pods,
    }
}

/// How many of `expected` pods must stay healthy.
fn desired(budget: &PodDisruptionBudget, expected: i32) -> i32 {
    let spec = budget.spec.clone().unwrap_or_default();
    match (spec.max_unavailable, spec.min_available) {
        (Some(most), _) => (expected - scaled(&most, expected, true)).max(0),
        (None, Some(least)) => scaled(&least, expected, true),
        (None, None) => 0,
    }
}

/// Pods that were evicted and are still there.
pub(super) struct Disrupted {
    pub waiting: BTreeMap<String, Time>,
    /// Those that should have gone long ago.
    pub overdue: Vec<Arc<Pod>>,
    pub recheck: Option<Duration>,
}

pub(super) fn disrupted(budget: &PodDisruptionBudget, all: &[Arc<Pod>], now: Timestamp) -> Disrupted {
    let mut found = Disrupted { waiting: BTreeMap::new(), overdue: Vec::new(), recheck: None };
    let noted = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
    let Some(noted) = noted else { return found };
    for pod in all.iter().filter(|pod| !pods::is_terminating(pod)) {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let Some(since) = noted.get(&name) else { continue };
        // A negative time has passed.
        match Duration::try_from((since.0 + DELETION_TIMEOUT).duration_since(now)) {
            Ok(left) if !left.is_zero() => {
                found.recheck = found.recheck.into_iter().chain([left]).min();
                found.waiting.insert(name, since.clone());
            }
            _ => found.overdue.push(pod.clone()),
        }
    }
    found
}

pub(super) fn status(
    budget: &PodDisruptionBudget,
    all: &[Arc<Pod>],
    expected: i32,
    disrupted: &Disrupted,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let healthy = all.iter().filter(|pod| {
        let evicted = pod.metadata.name.as_ref().is_some_and(|name| disrupted.waiting.contains_key(name));
        pods::is_ready(pod) && !pods::is_terminating(pod) && !evicted
    });
    let (healthy, desired) = (healthy.count() as i32, desired(budget, expected));
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let old = budget.status.clone().unwrap_or_default();
    let (holds, reason) = if allowed > 0 { (true, "SufficientPods") } else { (false, "InsufficientPods") };
    PodDisruptionBudgetStatus {
        observed_generation: budget.metadata.generation,
        disrupted_pods: Some(disrupted.waiting.clone()).filter(|waiting| !waiting.is_empty()),
        disruptions_allowed: Some(allowed),
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        conditions: Some(with_condition(budget, old.conditions, holds, reason, "", now)),
    }
}

/// The status of a budget that cannot be computed: nothing may go.
pub(super) fn failed(budget: &PodDisruptionBudget, why: &str, now: Timestamp) -> PodDisruptionBudgetStatus {
    let old = budget.status.clone().unwrap_or_default();
    let conditions = with_condition(budget, old.conditions.clone(), false, "SyncFailed", why, now);
    let zero = |number: Option<i32>| Some(number.unwrap_or(0));
    PodDisruptionBudgetStatus {
        disruptions_allowed: Some(0),
        current_healthy: zero(old.current_healthy),
        desired_healthy: zero(old.desired_healthy),
        expected_pods: zero(old.expected_pods),
        observed_generation: budget.metadata.generation,
        conditions: Some(conditions),
        ..old
    }
}

fn with_condition(
    budget: &PodDisruptionBudget,
    old: Option<Vec<Condition>>,
    holds: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Vec<Condition> {
    let mut all = old.unwrap_or_default();
    let status = if holds { "True" } else { "False" };
    let known = all.iter().find(|condition| condition.type_ == "DisruptionAllowed");
    let since = known.filter(|known| known.status == status).map(|known| known.last_transition_time.clone());
    let fresh = Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: budget.metadata.generation,
        last_transition_time: since.unwrap_or(Time(now)),
    };
    all.retain(|condition| condition.type_ != fresh.type_);
    all.push(fresh);
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pods(words: &str) -> Vec<Arc<Pod>> {
        let pod = |(at, state): (usize, &str)| {
            let ready = if state == "ready" { "True" } else { "False" };
            let pod = json!({"metadata": {"name": format!("p{at}"), "deletionTimestamp": (state == "ending").then_some("1970-01-01T00:00:00Z")},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            Arc::new(serde_json::from_value(pod).expect("a pod"))
        };
        words.split_whitespace().enumerate().map(pod).collect()
    }

    fn check(spec: Value, noted: Value, words: &str, expected: i32, numbers: [i32; 3]) {
        let budget = json!({"metadata": {"name": "b"}, "spec": spec, "status": {"disruptedPods": noted}});
        let budget: PodDisruptionBudget = serde_json::from_value(budget).expect("a budget");
        let (pods, now) = (pods(words), Timestamp::from_second(200).expect("in range"));
        let status = status(&budget, &pods, expected, &disrupted(&budget, &pods, now), now);
        let told =
            [status.current_healthy, status.desired_healthy, status.disruptions_allowed].map(Option::unwrap);
        assert_eq!(told, numbers, "{spec} {words}");
    }

    #[test]
    fn budgets_allow_what_is_healthy_beyond_what_is_wanted() {
        let none = json!({});
        check(json!({"minAvailable": 2}), none.clone(), "ready ready ready", 3, [3, 2, 1]);
        check(json!({"minAvailable": "50%"}), none.clone(), "ready ready no", 3, [2, 2, 0]);
        check(json!({"maxUnavailable": 1}), none.clone(), "ready ready ready", 3, [3, 2, 1]);
        check(json!({"maxUnavailable": "34%"}), none.clone(), "ready ready ready", 3, [3, 1, 2]);
        check(json!({"maxUnavailable": 5}), none.clone(), "ready", 3, [1, 0, 1]);
        check(json!({"minAvailable": 0}), none.clone(), "", 0, [0, 0, 0]);
        check(json!({"minAvailable": 1}), none, "ready ending", 2, [1, 1, 0]);
        // Evicted a moment ago; evicted so long ago that it no longer counts as going.
        check(json!({"minAvailable": 1}), json!({"p0": "1970-01-01T00:03:00Z"}), "ready ready", 2, [1, 1, 0]);
        check(json!({"minAvailable": 1}), json!({"p0": "1970-01-01T00:00:10Z"}), "ready ready", 2, [2, 1, 1]);
    }
}
