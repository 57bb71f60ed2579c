//! Jobs and CronJobs.
//!
//! Upstream: pkg/apis/batch/validation.

use super::common::{one_of, optional_one_of, required};
use super::metadata::{changed, nonnegative};
use super::pod;
use super::selectors::{self, label_selector};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;

pub(crate) fn job(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let empty = Value::Null;
    let spec = object.at("spec").unwrap_or(&empty);
    let path = path.child("spec");
    job_spec(spec, &path, errors);
    let selector_path = path.child("selector");
    match spec.at("selector") {
        None => errors.required(&selector_path, ""),
        Some(selector) => {
            label_selector(Some(selector), &selector_path, errors);
            if !selectors::matches(selector, spec.map("template.metadata.labels")) {
                let labels = spec.at("template.metadata.labels").cloned().unwrap_or_default();
                errors.invalid(
                    &path.child("template.metadata.labels"),
                    labels,
                    "`selector` does not match template `labels`",
                );
            }
        }
    }
}

fn job_spec(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        nonnegative(spec, field, path, errors);
    }
    let mode = spec.text("completionMode");
    optional_one_of(spec, "completionMode", &["NonIndexed", "Indexed"], path, errors);
    if mode == "Indexed" && !spec.has("completions") {
        errors.required(&path.child("completions"), "when completion mode is Indexed");
    }
    if mode != "Indexed" && spec.has("backoffLimitPerIndex") {
        errors.invalid(
            &path.child("backoffLimitPerIndex"),
            spec.int("backoffLimitPerIndex"),
            "requires indexed completion mode",
        );
    }
    optional_one_of(spec, "podReplacementPolicy", &["Failed", "TerminatingOrFailed"], path, errors);
    let template_path = path.child("template");
    let empty = Value::Null;
    pod::template(spec.at("template").unwrap_or(&empty), &template_path, errors);
    restart_policy(spec, path, errors);
    failure_policy(spec, path, errors);
}

fn restart_policy(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("template.spec.restartPolicy");
    match spec.text("template.spec.restartPolicy") {
        "" | "Always" => errors.required(&path, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => errors.invalid(
            &path,
            "OnFailure",
            "only \"Never\" is supported when podFailurePolicy is specified",
        ),
        "OnFailure" | "Never" => {}
        other => errors.not_supported(&path, other, &["OnFailure", "Never"]),
    }
}

fn failure_policy(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("podFailurePolicy.rules");
    for (index, rule) in spec.items("podFailurePolicy.rules").iter().enumerate() {
        let path = path.index(index);
        one_of(rule, "action", &["Count", "FailIndex", "FailJob", "Ignore"], &path, errors);
        let conditions = !rule.items("onPodConditions").is_empty();
        match (rule.has("onExitCodes"), conditions) {
            (true, true) => errors.invalid(
                &path,
                rule.clone(),
                "specifying both OnExitCodes and OnPodConditions is not supported",
            ),
            (false, false) => errors.invalid(
                &path,
                rule.clone(),
                "specifying one of OnExitCodes and OnPodConditions is required",
            ),
            _ => {}
        }
    }
}

pub(crate) fn job_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    let path = root.child("spec");
    let suspended = old.flag("spec.suspend") && !old.has("status.startTime");
    let mut fixed = vec![
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ];
    // an indexed job may be resized if parallelism follows
    let resized = new.text("spec.completionMode") == "Indexed"
        && new.int_at("spec.completions") == new.int_at("spec.parallelism");
    if !resized {
        fixed.push("completions");
    }
    if !suspended {
        fixed.push("template");
    }
    let empty = Value::Null;
    let (new, old) = (new.at("spec").unwrap_or(&empty), old.at("spec").unwrap_or(&empty));
    for field in fixed {
        if changed(new.at(field), old.at(field)) {
            errors.invalid(
                &path.child(field),
                new.at(field).cloned().unwrap_or_default(),
                "field is immutable",
            );
        }
    }
}

pub(crate) fn cron_job(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let empty = Value::Null;
    let spec = object.at("spec").unwrap_or(&empty);
    let name = object.text("metadata.name");
    let spec_path = path.child("spec");
    if required(spec, "schedule", &spec_path, errors) {
        schedule(spec.text("schedule"), spec.has("timeZone"), &spec_path.child("schedule"), errors);
    }
    nonnegative(spec, "startingDeadlineSeconds", &spec_path, errors);
    one_of(spec, "concurrencyPolicy", &["Allow", "Forbid", "Replace"], &spec_path, errors);
    if spec.has("timeZone") && spec.text("timeZone").is_empty() {
        errors.invalid(&spec_path.child("timeZone"), "", "timeZone must be nil or non-empty string");
    }
    nonnegative(spec, "successfulJobsHistoryLimit", &spec_path, errors);
    nonnegative(spec, "failedJobsHistoryLimit", &spec_path, errors);
    let template_path = spec_path.child("jobTemplate");
    let job = spec.at("jobTemplate.spec").unwrap_or(&empty);
    job_spec(job, &template_path.child("spec"), errors);
    if job.flag("manualSelector") {
        errors.not_supported(&template_path.child("spec.manualSelector"), true, &["nil", "false"]);
    }
    if name.len() > 52 {
        errors.invalid(&path.child("metadata.name"), name, "must be no more than 52 characters");
    }
}

/// The five fields of a schedule, or a macro; the numbers are the controller's to read.
fn schedule(text: &str, zoned: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    if text.contains("TZ") {
        let detail = match zoned {
            true => "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            false => "cannot use TZ or CRON_TZ in schedule, use timeZone instead",
        };
        return errors.invalid(path, text, detail);
    }
    let fields = text.split_whitespace().count();
    if let Some(name) = text.strip_prefix('@') {
        let known =
            matches!(name, "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly")
                || name.starts_with("every ");
        if !known {
            errors.invalid(path, text, format!("unrecognized descriptor: {text}"));
        }
    } else if fields != 5 {
        errors.invalid(path, text, format!("expected exactly 5 fields, found {fields}: [{text}]"));
    }
}
