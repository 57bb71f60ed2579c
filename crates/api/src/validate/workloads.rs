//! Deployments, sets and controllers: selector, template, strategy.
//!
//! Upstream: pkg/apis/apps/validation.

use super::common::{at_most_all, int_or_percent, is_zero, one_of, required};
use super::metadata::{changed, nonnegative};
use super::selectors::{self, label_selector};
use super::{pod, storage};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::{Value, json};

pub(crate) fn deployment(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    nonnegative(spec, "replicas", &path, errors);
    selector_and_template(spec, "deployment", &path, errors);
    strategy(spec, &path, errors);
    nonnegative(spec, "minReadySeconds", &path, errors);
    nonnegative(spec, "revisionHistoryLimit", &path, errors);
    if let Some(deadline) = spec.int_at("progressDeadlineSeconds") {
        nonnegative(spec, "progressDeadlineSeconds", &path, errors);
        if deadline <= spec.int("minReadySeconds") {
            errors.invalid(
                &path.child("progressDeadlineSeconds"),
                deadline,
                "must be greater than minReadySeconds",
            );
        }
    }
}

pub(crate) fn replica_set(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    nonnegative(spec, "replicas", &path, errors);
    nonnegative(spec, "minReadySeconds", &path, errors);
    // upstream shares the sentence with Deployments
    selector_and_template(spec, "deployment", &path, errors);
}

pub(crate) fn daemon_set(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    selector_and_template(spec, "daemonset", &path, errors);
    nonnegative(spec, "minReadySeconds", &path, errors);
    nonnegative(spec, "revisionHistoryLimit", &path, errors);
    let strategy_path = path.child("updateStrategy");
    let Some(strategy) = spec.at("updateStrategy") else { return };
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" => match strategy.at("rollingUpdate") {
            None => errors.required(&strategy_path.child("rollingUpdate"), ""),
            Some(rolling) => daemon_rolling(rolling, &strategy_path.child("rollingUpdate"), errors),
        },
        other => errors.not_supported(&strategy_path.child("type"), other, &["RollingUpdate", "OnDelete"]),
    }
}

fn daemon_rolling(rolling: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["maxUnavailable", "maxSurge"] {
        int_or_percent(rolling, field, path, errors);
        at_most_all(rolling, field, path, errors);
    }
    let (unavailable, surge) = (!is_zero(rolling, "maxUnavailable"), !is_zero(rolling, "maxSurge"));
    let at = path.child("maxUnavailable");
    let value = |field: &str| rolling.at(field).cloned().unwrap_or(json!(0));
    match (unavailable, surge) {
        (true, true) => errors.invalid(
            &path.child("maxSurge"),
            value("maxSurge"),
            "may not be set when maxUnavailable is non-zero",
        ),
        (false, false) => errors.required(&at, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

pub(crate) fn stateful_set(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    match spec.text("podManagementPolicy") {
        "" => errors.required(&path.child("podManagementPolicy"), ""),
        "OrderedReady" | "Parallel" => {}
        other => {
            errors.invalid(&path.child("podManagementPolicy"), other, "must be 'OrderedReady' or 'Parallel'")
        }
    }
    stateful_strategy(spec, &path, errors);
    nonnegative(spec, "replicas", &path, errors);
    nonnegative(spec, "minReadySeconds", &path, errors);
    nonnegative(spec, "revisionHistoryLimit", &path, errors);
    if let Some(ordinals) = spec.at("ordinals") {
        let path = path.child("ordinals");
        nonnegative(ordinals, "start", &path, errors);
    }
    selector_and_template(spec, "statefulset", &path, errors);
    let at = path.child("volumeClaimTemplates");
    for (index, template) in spec.items("volumeClaimTemplates").iter().enumerate() {
        let path = at.index(index);
        storage::claim_spec(template.at("spec").unwrap_or(&Value::Null), &path.child("spec"), errors);
    }
}

fn stateful_strategy(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("updateStrategy");
    let Some(strategy) = spec.at("updateStrategy") else { return };
    match strategy.text("type") {
        "" => errors.required(&path, ""),
        "OnDelete" if strategy.has("rollingUpdate") => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            errors.invalid(
                &path.child("rollingUpdate"),
                strategy.at("rollingUpdate").cloned().unwrap_or_default(),
                detail,
            );
        }
        "RollingUpdate" => {
            if let Some(rolling) = strategy.at("rollingUpdate") {
                let path = path.child("rollingUpdate");
                nonnegative(rolling, "partition", &path, errors);
            }
        }
        "OnDelete" => {}
        other => errors.invalid(&path, json!({"type": other}), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

pub(crate) fn stateful_set_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    const OPEN: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let (new, old) = (new.map("spec"), old.map("spec"));
    let mut closed = new.keys().chain(old.keys()).filter(|name| !OPEN.contains(&name.as_str()));
    if closed.any(|name| changed(new.get(name), old.get(name))) {
        let root = Path::Root;
        errors.forbidden(&root.child("spec"), "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
    }
}

pub(crate) fn replication_controller(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    nonnegative(spec, "minReadySeconds", &path, errors);
    if spec.map("selector").is_empty() {
        errors.required(&path.child("selector"), "");
    }
    nonnegative(spec, "replicas", &path, errors);
    let template_path = path.child("template");
    let Some(template) = spec.at("template") else { return errors.required(&template_path, "") };
    let labels = template.map("metadata.labels");
    let matches = spec.map("selector").iter().all(|(key, value)| labels.get(key) == Some(value));
    template_for(template, matches, &template_path, errors);
}

pub(crate) fn controller_revision(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if !object.has("data") {
        errors.required(&path.child("data"), "data is mandatory");
    }
    nonnegative(object, "revision", path, errors);
}

/// The spec and its path.
fn spec_of<'a>(object: &'a Value, path: &'a Path<'a>) -> Option<(&'a Value, Path<'a>)> {
    Some((object.at("spec").unwrap_or(&Value::Null), path.child("spec")))
}

fn selector_and_template(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let selector_path = path.child("selector");
    match spec.at("selector") {
        None => errors.required(&selector_path, ""),
        Some(selector) => {
            label_selector(Some(selector), &selector_path, errors);
            if selectors::is_empty(selector) {
                errors.invalid(
                    &selector_path,
                    selector.clone(),
                    format!("empty selector is invalid for {kind}"),
                );
            }
        }
    }
    let empty = json!({});
    let template = spec.at("template").unwrap_or(&empty);
    let labels = template.map("metadata.labels");
    let matches = spec
        .at("selector")
        .is_none_or(|selector| selectors::is_empty(selector) || selectors::matches(selector, labels));
    template_for(template, matches, &path.child("template"), errors);
}

/// A template whose pods run for ever.
fn template_for(template: &Value, matches: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    if !matches {
        let labels = template.at("metadata.labels").cloned().unwrap_or(Value::Null);
        errors.invalid(&path.child("metadata.labels"), labels, "`selector` does not match template `labels`");
    }
    pod::template(template, path, errors);
    let policy = template.text("spec.restartPolicy");
    if policy != "Always" && !policy.is_empty() {
        errors.not_supported(&path.child("spec.restartPolicy"), policy, &["Always"]);
    }
    if template.has("spec.activeDeadlineSeconds") {
        errors.forbidden(
            &path.child("spec.activeDeadlineSeconds"),
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        );
    }
}

fn strategy(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("strategy");
    let Some(strategy) = spec.at("strategy") else { return };
    let rolling_path = path.child("rollingUpdate");
    match (strategy.text("type"), strategy.at("rollingUpdate")) {
        ("Recreate", Some(_)) => {
            errors.forbidden(&rolling_path, "may not be specified when strategy `type` is 'Recreate'")
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => {
            errors.required(&rolling_path, "this should be defaulted and never be nil")
        }
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &rolling_path, errors),
        _ => one_of(strategy, "type", &["Recreate", "RollingUpdate"], &path, errors),
    }
}

fn rolling_update(rolling: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    int_or_percent(rolling, "maxUnavailable", path, errors);
    int_or_percent(rolling, "maxSurge", path, errors);
    if is_zero(rolling, "maxUnavailable") && is_zero(rolling, "maxSurge") {
        let value = rolling.at("maxUnavailable").cloned().unwrap_or(json!(0));
        errors.invalid(&path.child("maxUnavailable"), value, "may not be 0 when `maxSurge` is 0");
    }
    at_most_all(rolling, "maxUnavailable", path, errors);
}

pub(crate) fn pod_disruption_budget(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        errors.invalid(&path, spec.clone(), "minAvailable and maxUnavailable cannot be both set");
    }
    for field in ["minAvailable", "maxUnavailable"] {
        int_or_percent(spec, field, &path, errors);
        at_most_all(spec, field, &path, errors);
    }
    label_selector(spec.at("selector"), &path.child("selector"), errors);
    super::common::optional_one_of(
        spec,
        "unhealthyPodEvictionPolicy",
        &["AlwaysAllow", "IfHealthyBudget"],
        &path,
        errors,
    );
}

pub(crate) fn hpa(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    let (min, max) = (spec.int_at("minReplicas"), spec.int("maxReplicas"));
    if let Some(min) = min.filter(|min| *min < 1) {
        errors.invalid(&path.child("minReplicas"), min, "must be greater than or equal to 1");
    }
    if max < 1 {
        errors.invalid(&path.child("maxReplicas"), max, "must be greater than 0");
    }
    if min.is_some_and(|min| max < min) {
        errors.invalid(&path.child("maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    }
    let empty = Value::Null;
    let target = spec.at("scaleTargetRef").unwrap_or(&empty);
    let target_path = path.child("scaleTargetRef");
    for field in ["kind", "name"] {
        required(target, field, &target_path, errors);
    }
    let at = path.child("metrics");
    for (index, metric) in spec.items("metrics").iter().enumerate() {
        let path = at.index(index);
        one_of(
            metric,
            "type",
            &["ContainerResource", "External", "Object", "Pods", "Resource"],
            &path,
            errors,
        );
    }
}

pub(crate) fn scale(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some((spec, path)) = spec_of(object, path) else { return };
    nonnegative(spec, "replicas", &path, errors);
}
