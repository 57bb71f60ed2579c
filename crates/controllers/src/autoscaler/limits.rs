//! What slows a change down: stabilization windows, rates, bounds. Pure.
//!
//! Upstream: pkg/controller/podautoscaler/horizontal.go, `normalizeDesiredReplicas…`, `calculateScale…Limit…`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// How long a higher recommendation is remembered where nothing else is said.
const DOWNSCALE_WINDOW: Duration = Duration::from_secs(300);

/// What an autoscaler remembers between looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    recommendations: Vec<(i32, Timestamp)>,
    ups: Vec<(i32, Timestamp)>,
    downs: Vec<(i32, Timestamp)>,
}

/// The size after all limits, with the conditions that tell of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limited {
    pub replicas: i32,
    /// Of AbleToScale.
    pub stabilized: (&'static str, &'static str),
    /// Of ScalingLimited.
    pub limit: Option<(&'static str, &'static str)>,
}

pub(super) struct Bounds {
    pub current: i32,
    pub min: i32,
    pub max: i32,
}

const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const DOWN_STABILIZED: (&str, &str) = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const UP_STABILIZED: (&str, &str) = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const TOO_FEW: (&str, &str) =
    ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: (&str, &str) =
    ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const UP_LIMIT: (&str, &str) =
    ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: (&str, &str) =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
pub(super) const WITHIN: (&str, &str) =
    ("DesiredWithinRange", "the desired count is within the acceptable range");

impl Memory {
    /// Without any memory the current size is the first recommendation: a restart shrinks nothing at once.
    pub fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((current, now));
        }
    }

    /// Remembers a change that was made, and forgets those that no policy asks for any more.
    pub fn scaled(
        &mut self,
        from: i32,
        to: i32,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        now: Timestamp,
    ) {
        let Some(behavior) = behavior else { return };
        let (list, rules) = if to > from {
            (&mut self.ups, behavior.scale_up.as_ref())
        } else {
            (&mut self.downs, behavior.scale_down.as_ref())
        };
        let policies = rules.and_then(|rules| rules.policies.as_ref());
        let longest = policies.into_iter().flatten().map(|policy| policy.period_seconds).max().unwrap_or(0);
        list.retain(|(_, at)| is_within(*at, seconds(longest), now));
        list.push(((to - from).abs(), now));
    }

    fn recommend(&mut self, replicas: i32, longest: Duration, now: Timestamp) {
        self.recommendations.retain(|(_, at)| is_within(*at, longest, now));
        self.recommendations.push((replicas, now));
    }

    fn recent(&self, window: Duration, now: Timestamp) -> impl Iterator<Item = i32> {
        self.recommendations
            .iter()
            .filter(move |(_, at)| is_within(*at, window, now))
            .map(|(replicas, _)| *replicas)
    }
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(seconds.max(0) as u64)
}

fn is_within(at: Timestamp, window: Duration, now: Timestamp) -> bool {
    at + window > now
}

/// Brings a recommendation within its limits.
pub(super) fn limit(
    desired: i32,
    bounds: &Bounds,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    memory: &mut Memory,
    now: Timestamp,
) -> Limited {
    match behavior {
        None => plain(desired, bounds, memory, now),
        Some(behavior) => {
            let up = behavior.scale_up.clone().unwrap_or_default();
            let down = behavior.scale_down.clone().unwrap_or_default();
            by_rules(desired, bounds, (&up, &down), memory, now)
        }
    }
}

fn plain(desired: i32, bounds: &Bounds, memory: &mut Memory, now: Timestamp) -> Limited {
    let highest = memory.recent(DOWNSCALE_WINDOW, now).chain([desired]).max().unwrap_or(desired);
    memory.recommend(desired, DOWNSCALE_WINDOW, now);
    let stabilized = if highest == desired { READY } else { DOWN_STABILIZED };
    // Twice as many, and at least 4.
    let rate = bounds.current.saturating_mul(2).max(4);
    let (most, why) = if bounds.max > rate { (rate, UP_LIMIT) } else { (bounds.max, TOO_MANY) };
    let (replicas, limit) = match highest {
        few if few < bounds.min => (bounds.min, Some(TOO_FEW)),
        many if many > most => (most, Some(why)),
        fine => (fine, None),
    };
    Limited { replicas, stabilized, limit }
}

fn by_rules(
    desired: i32,
    bounds: &Bounds,
    (up, down): (&HPAScalingRules, &HPAScalingRules),
    memory: &mut Memory,
    now: Timestamp,
) -> Limited {
    let up_window = up.stabilization_window_seconds.map_or(Duration::ZERO, seconds);
    let down_window = down.stabilization_window_seconds.map_or(DOWNSCALE_WINDOW, seconds);
    let lowest = memory.recent(up_window, now).chain([desired]).min().unwrap_or(desired);
    let highest = memory.recent(down_window, now).chain([desired]).max().unwrap_or(desired);
    memory.recommend(desired, up_window.max(down_window), now);
    let stable = bounds.current.max(lowest).min(highest);
    let stabilized = match desired {
        same if same == stable => READY,
        more if more >= bounds.current => UP_STABILIZED,
        _ => DOWN_STABILIZED,
    };
    let (replicas, limit) = rate(stable, bounds, (up, down), memory, now);
    Limited { replicas, stabilized, limit }
}

fn rate(
    desired: i32,
    bounds: &Bounds,
    (up, down): (&HPAScalingRules, &HPAScalingRules),
    memory: &Memory,
    now: Timestamp,
) -> (i32, Option<(&'static str, &'static str)>) {
    let current = bounds.current;
    if desired > current {
        let limit = up_limit(current, up, memory, now).max(current);
        let (most, why) = if bounds.max > limit { (limit, UP_LIMIT) } else { (bounds.max, TOO_MANY) };
        return if desired > most { (most, Some(why)) } else { (desired, None) };
    }
    if desired < current {
        let limit = down_limit(current, down, memory, now).min(current);
        let (least, why) = if bounds.min < limit { (limit, DOWN_LIMIT) } else { (bounds.min, TOO_FEW) };
        return if desired < least { (least, Some(why)) } else { (desired, None) };
    }
    (desired, None)
}

/// The size at the beginning of a period.
fn before(current: i32, period: i32, memory: &Memory, now: Timestamp) -> i32 {
    let sum = |list: &[(i32, Timestamp)]| -> i32 {
        list.iter().filter(|(_, at)| is_within(*at, seconds(period), now)).map(|(change, _)| change).sum()
    };
    current - sum(&memory.ups) + sum(&memory.downs)
}

fn up_limit(current: i32, rules: &HPAScalingRules, memory: &Memory, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let start = before(current, policy.period_seconds, memory, now);
        match policy.type_.as_str() {
            "Pods" => start.saturating_add(policy.value),
            _ => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        Some("Min") => proposals.min().unwrap_or(i32::MAX),
        _ => proposals.max().unwrap_or(i32::MAX),
    }
}

fn down_limit(current: i32, rules: &HPAScalingRules, memory: &Memory, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let start = before(current, policy.period_seconds, memory, now);
        match policy.type_.as_str() {
            "Pods" => start - policy.value,
            _ => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        // The least change is the highest bound.
        Some("Min") => proposals.max().unwrap_or(i32::MIN),
        _ => proposals.min().unwrap_or(i32::MIN),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn check(
        behavior: Value,
        memory: &mut Memory,
        second: i64,
        current: i32,
        desired: i32,
    ) -> (i32, &'static str) {
        let behavior = (!behavior.is_null()).then(|| serde_json::from_value(behavior).expect("a behavior"));
        let bounds = Bounds { current, min: 1, max: 20 };
        let limited = limit(desired, &bounds, behavior.as_ref(), memory, at(second));
        if limited.replicas != current {
            memory.scaled(current, limited.replicas, behavior.as_ref(), at(second));
        }
        (limited.replicas, limited.limit.map_or(limited.stabilized.0, |limit| limit.0))
    }

    #[test]
    fn plain_ones_double_at_most_and_shrink_late() {
        let mut memory = Memory::default();
        assert_eq!(check(Value::Null, &mut memory, 0, 1, 9), (4, "ScaleUpLimit"));
        assert_eq!(check(Value::Null, &mut memory, 15, 4, 9), (8, "ScaleUpLimit"));
        assert_eq!(check(Value::Null, &mut memory, 30, 8, 50), (16, "ScaleUpLimit"));
        assert_eq!(check(Value::Null, &mut memory, 45, 16, 50), (20, "TooManyReplicas"));
        assert_eq!(check(Value::Null, &mut memory, 100, 20, 2), (20, "TooManyReplicas"));
        assert_eq!(check(Value::Null, &mut memory, 346, 20, 2), (2, "ReadyForNewScale"));
        assert_eq!(check(Value::Null, &mut memory, 700, 2, 0), (1, "TooFewReplicas"));
    }

    #[test]
    fn policies_bound_the_rate_in_their_period() {
        let rules = json!({
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]},
            "scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]}});
        let mut memory = Memory::default();
        assert_eq!(check(rules.clone(), &mut memory, 0, 4, 10), (6, "ScaleUpLimit"));
        assert_eq!(check(rules.clone(), &mut memory, 15, 6, 10), (6, "ScaleUpLimit"));
        assert_eq!(check(rules.clone(), &mut memory, 61, 6, 10), (8, "ScaleUpLimit"));
        assert_eq!(check(rules.clone(), &mut memory, 200, 8, 1), (4, "ScaleDownLimit"));
        assert_eq!(check(rules, &mut memory, 215, 4, 1), (4, "ScaleDownLimit"));
        let fixed = json!({"scaleUp": {"selectPolicy": "Disabled"}, "scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}});
        assert_eq!(check(fixed.clone(), &mut Memory::default(), 0, 4, 9), (4, "ScaleUpLimit"));
        assert_eq!(check(fixed, &mut Memory::default(), 0, 4, 1), (4, "ScaleDownLimit"));
    }

    #[test]
    fn windows_take_the_calmest_recommendation() {
        let rules = json!({"scaleUp": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max"},
            "scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max"}});
        let mut memory = Memory::default();
        memory.begin(4, at(0));
        assert_eq!(check(rules.clone(), &mut memory, 10, 4, 9), (4, "ScaleUpStabilized"));
        assert_eq!(check(rules.clone(), &mut memory, 65, 4, 8), (8, "ReadyForNewScale"));
        assert_eq!(check(rules, &mut memory, 80, 8, 2), (8, "ScaleDownStabilized"));
    }
}
