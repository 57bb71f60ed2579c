//! `pods/eviction`: a deletion that asks the disruption budgets first.
//!
//! Upstream: pkg/registry/core/pod/storage/eviction.go.

use api::selector::LabelSelector;
use http::StatusCode;
use serde_json::{Value, json};

use super::{own_object, rewrite, success};
use crate::cache::Selection;
use crate::error::{ApiError, Result};
use crate::registry::Storage;
use crate::registry::deletion::DeleteOptions;
use crate::verbs::delete::Deletion;
use crate::verbs::{Call, WriteOptions};
use crate::{Body, Response, object};

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let (mut eviction, warnings) = own_object(call, request_body, &options).await?;
    call.check_place(&mut eviction)?;
    let storage = call.storage()?;
    let pod = storage.must_read(call.namespace(), call.name()).await?.value;
    let raw =
        if eviction["deleteOptions"].is_object() { eviction["deleteOptions"].clone() } else { json!({}) };
    let mut deletion = DeleteOptions::of(&raw)?;
    deletion.dry_run |= options.dry_run;
    if counts(&pod) {
        match ask_budget(call, &pod, deletion.dry_run).await? {
            Allowed::Healthy => {}
            // Only as long as the pod is as unhealthy as it was found.
            Allowed::Unhealthy => {
                deletion.resource_version = Some(object::meta(&pod, "resourceVersion").to_string())
            }
        }
        if deletion.resource_version.is_none() && !deletion.dry_run {
            mark(call, storage).await?;
        }
    }
    Deletion { call, storage, options: &deletion, raw: &raw }.run(call.namespace(), call.name()).await?;
    call.answer_plain(StatusCode::CREATED, &success(), &warnings)
}

/// Pods that do not run, or are going already, disrupt nothing.
fn counts(pod: &Value) -> bool {
    let idle = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
    !idle && !object::is_terminating(pod)
}

/// Why the pod may go.
enum Allowed {
    /// No budget counts it, or one was asked and had enough.
    Healthy,
    /// It serves nobody, so that no budget is spent.
    Unhealthy,
}

/// Says in the pod's status why it goes.
///
/// Upstream: `addConditionAndDeletePod`.
async fn mark(call: &Call, storage: &Storage) -> Result<()> {
    let now = object::time(call.core.clock.now());
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": now});
    rewrite(storage, call.namespace(), call.name(), false, |pod| {
        let mut all = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.retain(|known| known["type"] != "DisruptionTarget");
        all.push(condition.clone());
        pod["status"]["conditions"] = Value::Array(all);
        Ok(())
    })
    .await?;
    Ok(())
}

/// Whether a pod that is not ready may go without asking the budget.
fn passes_by(budget: &Value, pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    if conditions.is_some_and(|all| all.iter().any(ready)) {
        return false;
    }
    if budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" {
        return true;
    }
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    count("desiredHealthy") > 0 && count("currentHealthy") >= count("desiredHealthy")
}

async fn ask_budget(call: &Call, pod: &Value, dry_run: bool) -> Result<Allowed> {
    let Some(budgets) = call.core.registry.storage("policy", "poddisruptionbudgets") else {
        return Ok(Allowed::Healthy);
    };
    budgets.catch_up().await?;
    let all = budgets.cache.list(&Selection::everything(call.namespace(), true), 0);
    let labels = pod["metadata"].get("labels");
    let matching: Vec<Value> = all
        .entries
        .iter()
        .map(|entry| entry.value())
        .filter(|budget| {
            // A selector that cannot be read was refused at creation.
            LabelSelector::from_value(&budget["spec"]["selector"]).is_ok_and(|s| s.matches_value(labels))
        })
        .collect();
    let [budget] = matching.as_slice() else {
        if matching.is_empty() {
            return Ok(Allowed::Healthy);
        }
        return Err(ApiError::new(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    };
    if passes_by(budget, pod) {
        return Ok(Allowed::Unhealthy);
    }
    let (pod_name, now) = (object::name(pod).to_string(), object::time(call.core.clock.now()));
    rewrite(&budgets, call.namespace(), object::name(budget), dry_run, |budget| {
        spend(budget, &pod_name, &now)
    })
    .await?;
    Ok(Allowed::Healthy)
}

/// Evictions that wait to be confirmed (upstream: MaxDisruptedPodSize).
const MOST_DISRUPTED: usize = 2000;

fn forbidden(budget: &Value, why: &str) -> ApiError {
    let name = object::name(budget);
    ApiError::new(403, "Forbidden", format!("poddisruptionbudgets.policy \"{name}\" is forbidden: {why}"))
}

/// What the controller says of a budget that it cannot compute.
fn sync_failure(status: &Value) -> Option<&str> {
    let failed = |c: &&Value| {
        c["type"] == "DisruptionAllowed" && c["status"] == "False" && c["reason"] == "SyncFailed"
    };
    status["conditions"].as_array()?.iter().find(failed)?["message"].as_str()
}

/// Takes one disruption from the budget.
fn spend(budget: &mut Value, pod: &str, now: &str) -> Result<()> {
    let status = &budget["status"];
    let observed = status["observedGeneration"].as_i64().unwrap_or(0);
    if observed < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        return Err(ApiError::too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            10,
        )
        .with_cause(
            "DisruptionBudget",
            format!("The disruption budget {} is still being processed by the server.", object::name(budget)),
            "",
        ));
    }
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if allowed < 0 {
        return Err(forbidden(budget, "pdb disruptions allowed is negative"));
    }
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > MOST_DISRUPTED) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(forbidden(budget, why));
    }
    if allowed == 0 {
        let (desired, current) =
            (status["desiredHealthy"].as_i64().unwrap_or(0), status["currentHealthy"].as_i64().unwrap_or(0));
        return Err(ApiError::too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            0,
        )
        .with_cause(
            "DisruptionBudget",
            match sync_failure(status) {
                Some(why) => format!(
                    "The disruption budget {} does not allow evicting pods currently because it failed sync: {why}",
                    object::name(budget)
                ),
                None => format!(
                    "The disruption budget {} needs {desired} healthy pods and has {current} currently",
                    object::name(budget)
                ),
            },
            "",
        ));
    }
    budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
    budget["status"]["disruptedPods"][pod] = json!(now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_serve_nobody_pass_by_a_budget() {
        let pod = |ready: &str| json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let budget = |policy: Value, healthy: i64| json!({"spec": {"unhealthyPodEvictionPolicy": policy}, "status": {"currentHealthy": healthy, "desiredHealthy": 2}});
        for (policy, healthy, ready, expected) in [
            (Value::Null, 2, "True", false),
            (Value::Null, 2, "False", true),
            (Value::Null, 1, "False", false),
            (json!("IfHealthyBudget"), 1, "False", false),
            (json!("AlwaysAllow"), 1, "False", true),
            (json!("AlwaysAllow"), 1, "True", false),
        ] {
            assert_eq!(
                passes_by(&budget(policy.clone(), healthy), &pod(ready)),
                expected,
                "{policy} {healthy} {ready}"
            );
        }
    }

    #[test]
    fn a_spent_budget_refuses_in_upstream_words() {
        let refused = |mut budget: Value| spend(&mut budget, "p", "now").expect_err("refused").to_string();
        let budget = json!({"metadata": {"name": "b"}, "status": {"disruptionsAllowed": 0}});
        assert_eq!(refused(budget), "Cannot evict pod as it would violate the pod's disruption budget.");
        let many: serde_json::Map<_, _> =
            (0..=MOST_DISRUPTED).map(|n| (n.to_string(), json!("now"))).collect();
        let budget =
            json!({"metadata": {"name": "b"}, "status": {"disruptionsAllowed": 1, "disruptedPods": many}});
        assert!(refused(budget).contains("DisruptedPods map too big"));
    }
}
