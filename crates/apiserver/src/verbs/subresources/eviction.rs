//! `pods/eviction`: a deletion that asks the disruption budgets first.
//!
//! Upstream: pkg/registry/core/pod/storage/eviction.go.

use api::selector::LabelSelector;
use http::StatusCode;
use serde_json::{Value, json};

use super::{own_object, rewrite, success};
use crate::cache::Selection;
use crate::error::{ApiError, Result};
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
        ask_budget(call, &pod, deletion.dry_run).await?;
    }
    Deletion { call, storage, options: &deletion, raw: &raw }.run(call.namespace(), call.name()).await?;
    call.answer_plain(StatusCode::CREATED, &success(), &warnings)
}

/// Pods that do not run, or are going already, disrupt nothing.
fn counts(pod: &Value) -> bool {
    let idle = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
    !idle && !object::is_terminating(pod)
}

async fn ask_budget(call: &Call, pod: &Value, dry_run: bool) -> Result<()> {
    let Some(budgets) = call.core.registry.storage("policy", "poddisruptionbudgets") else { return Ok(()) };
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
            return Ok(());
        }
        return Err(ApiError::new(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    };
    let (pod_name, now) = (object::name(pod).to_string(), object::time(call.core.clock.now()));
    rewrite(&budgets, call.namespace(), object::name(budget), dry_run, |budget| {
        spend(budget, &pod_name, &now)
    })
    .await?;
    Ok(())
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
    if allowed <= 0 {
        let (desired, current) =
            (status["desiredHealthy"].as_i64().unwrap_or(0), status["currentHealthy"].as_i64().unwrap_or(0));
        return Err(ApiError::too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            0,
        )
        .with_cause(
            "DisruptionBudget",
            format!(
                "The disruption budget {} needs {desired} healthy pods and has {current} currently",
                object::name(budget)
            ),
            "",
        ));
    }
    budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
    budget["status"]["disruptedPods"][pod] = json!(now);
    Ok(())
}
