//! What a Job's policies say of a failed pod, and of the indexes that succeeded.
//!
//! Upstream: pkg/controller/job/pod_failure_policy.go, success_policy.go.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::{
    PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicy,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::intervals::Intervals;

/// What becomes of a failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Counts towards the back-off limit.
    Count,
    /// Does not count.
    Ignore,
    /// Counts, and its index is not tried again.
    FailIndex,
    /// Ends the whole job, for this reason.
    FailJob(String),
}

impl Verdict {
    pub fn counts(&self) -> bool {
        *self != Self::Ignore
    }
}

/// The first rule that matches decides; without one the failure counts.
pub(super) fn judge(job: &Job, pod: &Pod) -> Verdict {
    let rules =
        job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref()).map(|policy| &policy.rules);
    let matched =
        rules.into_iter().flatten().enumerate().find_map(|(at, rule)| Some((rule, matching(rule, at, pod)?)));
    match matched {
        None => Verdict::Count,
        Some((rule, why)) => match rule.action.as_str() {
            "Ignore" => Verdict::Ignore,
            "FailJob" => Verdict::FailJob(why),
            "FailIndex" => Verdict::FailIndex,
            _ => Verdict::Count,
        },
    }
}

fn matching(rule: &PodFailurePolicyRule, at: usize, pod: &Pod) -> Option<String> {
    let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
    let pod_name = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
    let status = pod.status.as_ref()?;
    if let Some(codes) = &rule.on_exit_codes {
        let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let (container, code) = containers.into_iter().find_map(|c| Some((&c.name, failing(c, codes)?)))?;
        return Some(format!(
            "Container {container} for pod {pod_name} failed with exit code {code} matching {} rule at index {at}",
            rule.action
        ));
    }
    let patterns = rule.on_pod_conditions.as_ref()?;
    let condition = status.conditions.iter().flatten().find(|condition| {
        let same = |status: &Option<String>| status.as_deref().unwrap_or("True") == condition.status;
        patterns.iter().any(|p| p.type_ == condition.type_ && same(&p.status))
    })?;
    Some(format!(
        "Pod {pod_name} has condition {} matching {} rule at index {at}",
        condition.type_, rule.action
    ))
}

fn failing(container: &ContainerStatus, wanted: &PodFailurePolicyOnExitCodesRequirement) -> Option<i32> {
    if wanted.container_name.as_ref().is_some_and(|name| *name != container.name) {
        return None;
    }
    let code = container.state.as_ref()?.terminated.as_ref()?.exit_code;
    let listed = wanted.values.contains(&code);
    let matches = match wanted.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    };
    (code != 0 && matches).then_some(code)
}

/// The message of the first rule that the succeeded indexes meet.
pub(super) fn success(policy: Option<&SuccessPolicy>, completions: i32, done: &Intervals) -> Option<String> {
    if done.total() == 0 {
        return None;
    }
    let met = policy?.rules.iter().position(|rule| {
        let enough = |count: i32| rule.succeeded_count.is_some_and(|wanted| count >= wanted);
        let Some(indexes) = &rule.succeeded_indexes else { return enough(done.total()) };
        let required = Intervals::parse(indexes, completions);
        let common = required.common(done);
        required.total() > 0 && (common == required.total() || enough(common))
    })?;
    Some(format!("Matched rules at index {met}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(rules: Value, expected: Verdict) {
        let job = json!({"metadata": {"name": "j"}, "spec": {"template": {}, "podFailurePolicy": {"rules": rules}}});
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "status": {"phase": "Failed",
            "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 42}}}],
            "conditions": [{"type": "DisruptionTarget", "status": "True"}]}});
        let (job, pod) =
            (serde_json::from_value(job).expect("a job"), serde_json::from_value(pod).expect("a pod"));
        assert_eq!(judge(&job, &pod), expected);
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let codes = |action: &str, operator: &str, values: &[i32]| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
        let disrupted =
            json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]});
        check(json!([]), Verdict::Count);
        check(json!([codes("FailJob", "In", &[1]), disrupted]), Verdict::Ignore);
        check(json!([codes("FailIndex", "NotIn", &[1])]), Verdict::FailIndex);
        check(
            json!([codes("Ignore", "In", &[7]), codes("FailJob", "In", &[42])]),
            Verdict::FailJob(
                "Container c for pod n/p failed with exit code 42 matching FailJob rule at index 1".into(),
            ),
        );
        let other = json!({"action": "FailJob", "onExitCodes": {"containerName": "d", "operator": "In", "values": [42]}});
        check(json!([other]), Verdict::Count);
    }

    #[test]
    fn success_rules_want_indexes_or_counts() {
        let met = |rules: Value, done: &str| {
            let policy = serde_json::from_value(json!({"rules": rules})).expect("a policy");
            success(Some(&policy), 10, &Intervals::parse(done, 10))
        };
        assert_eq!(met(json!([{"succeededCount": 1}]), ""), None);
        assert_eq!(met(json!([{"succeededCount": 2}]), "3"), None);
        assert_eq!(
            met(json!([{"succeededIndexes": "0-3"}, {"succeededCount": 2}]), "3,9").as_deref(),
            Some("Matched rules at index 1")
        );
        assert_eq!(
            met(json!([{"succeededIndexes": "0-3", "succeededCount": 1}]), "3").as_deref(),
            Some("Matched rules at index 0")
        );
        assert_eq!(met(json!([{"succeededIndexes": "0-3"}]), "0-2"), None);
    }
}
