//! Workloads: deployments, sets, jobs, autoscalers.

use super::text::{first_and_more, join, label_selector, labels, or_none, scalar};
use super::{Context, text_or};
use crate::access::Access;
use crate::table::duration::{human_duration, seconds_between, since};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) fn replicas_desired(object: &Value, _: Context) -> Value {
    object.int("spec.replicas").into()
}

pub(crate) fn replicas_current(object: &Value, _: Context) -> Value {
    object.int("status.replicas").into()
}

pub(crate) fn replicas_ready(object: &Value, _: Context) -> Value {
    object.int("status.readyReplicas").into()
}

pub(crate) fn deployment_ready(object: &Value, _: Context) -> Value {
    format!("{}/{}", object.int("status.readyReplicas"), object.int("spec.replicas")).into()
}

pub(crate) fn node_selector(object: &Value, _: Context) -> Value {
    labels(object.map("spec.template.spec.nodeSelector")).into()
}

pub(crate) fn containers(object: &Value, _: Context) -> Value {
    join(object.items("spec.template.spec.containers"), "name", ",").into()
}

pub(crate) fn images(object: &Value, _: Context) -> Value {
    join(object.items("spec.template.spec.containers"), "image", ",").into()
}

pub(crate) fn template_containers(object: &Value, _: Context) -> Value {
    join(object.items("template.spec.containers"), "name", ",").into()
}

pub(crate) fn template_images(object: &Value, _: Context) -> Value {
    join(object.items("template.spec.containers"), "image", ",").into()
}

pub(crate) fn template_labels(object: &Value, _: Context) -> Value {
    labels(object.map("template.metadata.labels")).into()
}

pub(crate) fn controller(revision: &Value, _: Context) -> Value {
    let owners = revision.items("metadata.ownerReferences");
    let Some(owner) = owners.iter().find(|owner| owner.flag("controller")) else { return "<none>".into() };
    let group =
        owner.text("apiVersion").split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    format!("{}{group}/{}", owner.text("kind").to_lowercase(), owner.text("name")).into()
}

pub(crate) fn job_status(job: &Value, _: Context) -> Value {
    let is_true = |name: &str| {
        job.item_where("status.conditions", "type", name)
            .is_some_and(|condition| condition.text("status") == "True")
    };
    match () {
        _ if is_true("Complete") => "Complete",
        _ if is_true("Failed") => "Failed",
        _ if job.has("metadata.deletionTimestamp") => "Terminating",
        _ if is_true("Suspended") => "Suspended",
        _ if is_true("FailureTarget") => "FailureTarget",
        _ if is_true("SuccessCriteriaMet") => "SuccessCriteriaMet",
        _ => "Running",
    }
    .into()
}

pub(crate) fn job_completions(job: &Value, _: Context) -> Value {
    let succeeded = job.int("status.succeeded");
    match (job.int_at("spec.completions"), job.int("spec.parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    }
    .into()
}

pub(crate) fn job_duration(job: &Value, cx: Context) -> Value {
    let time = |path: &str| job.text(path).parse::<Timestamp>().ok(); // absent: not yet
    let Some(start) = time("status.startTime") else { return "".into() };
    let end = time("status.completionTime").unwrap_or(cx.now);
    human_duration(seconds_between(start, end)).into()
}

pub(crate) fn cron_time_zone(cron: &Value, _: Context) -> Value {
    text_or(cron, "spec.timeZone", "<none>")
}

pub(crate) fn cron_suspend(cron: &Value, _: Context) -> Value {
    match cron.at("spec.suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
    .into()
}

pub(crate) fn cron_active(cron: &Value, _: Context) -> Value {
    cron.items("status.active").len().into()
}

pub(crate) fn cron_last_schedule(cron: &Value, cx: Context) -> Value {
    match cron.text("status.lastScheduleTime") {
        "" => "<none>".into(),
        time => since(time, cx.now).into(),
    }
}

pub(crate) fn cron_containers(cron: &Value, _: Context) -> Value {
    join(cron.items("spec.jobTemplate.spec.template.spec.containers"), "name", ",").into()
}

pub(crate) fn cron_images(cron: &Value, _: Context) -> Value {
    join(cron.items("spec.jobTemplate.spec.template.spec.containers"), "image", ",").into()
}

pub(crate) fn cron_selector(cron: &Value, _: Context) -> Value {
    label_selector(cron.at("spec.jobTemplate.spec.selector")).into()
}

pub(crate) fn hpa_reference(hpa: &Value, _: Context) -> Value {
    format!("{}/{}", hpa.text("spec.scaleTargetRef.kind"), hpa.text("spec.scaleTargetRef.name")).into()
}

pub(crate) fn hpa_min(hpa: &Value, _: Context) -> Value {
    hpa.int_at("spec.minReplicas").map_or("<unset>".into(), |min| min.to_string().into())
}

pub(crate) fn hpa_targets(hpa: &Value, _: Context) -> Value {
    let specs = hpa.items("spec.metrics");
    let current = hpa.items("status.currentMetrics");
    let list: Vec<String> =
        specs.iter().enumerate().map(|(index, spec)| metric(spec, current.get(index))).collect();
    or_none(first_and_more(&list, 2, ", ")).into()
}

pub(crate) fn hpa_v1_targets(hpa: &Value, _: Context) -> Value {
    let percent = |path: &str| hpa.int_at(path).map_or("<unknown>".to_owned(), |value| format!("{value}%"));
    format!(
        "cpu: {}/{}",
        percent("status.currentCPUUtilizationPercentage"),
        percent("spec.targetCPUUtilizationPercentage")
    )
    .into()
}

/// `cpu: 10%/80%`, `5/10 (avg)`, …: what is and what shall be.
fn metric(spec: &Value, current: Option<&Value>) -> String {
    let (field, prefix) = match spec.text("type") {
        "Resource" => ("resource", format!("{}: ", spec.text("resource.name"))),
        "ContainerResource" => ("containerResource", format!("{}: ", spec.text("containerResource.name"))),
        "External" => ("external", String::new()),
        "Object" => ("object", String::new()),
        "Pods" => ("pods", String::new()),
        _ => return "<unknown type>".into(),
    };
    let target = spec.at(&format!("{field}.target"));
    let average_suffix = if matches!(field, "external" | "object") { " (avg)" } else { "" };
    let forms = [("averageUtilization", "%", ""), ("averageValue", "", average_suffix), ("value", "", "")];
    for (form, unit, suffix) in forms {
        let Some(wanted) = target.and_then(|target| target.at(form)) else { continue };
        let is = current.and_then(|current| current.at(&format!("{field}.current.{form}")));
        let is = is.map_or("<unknown>".into(), |value| format!("{}{unit}", scalar(value)));
        return format!("{prefix}{is}/{}{unit}{suffix}", scalar(wanted));
    }
    format!("{prefix}<unknown>/<auto>")
}

pub(crate) fn budget_min(budget: &Value, _: Context) -> Value {
    budget.at("spec.minAvailable").map_or("N/A".into(), |value| scalar(value).into())
}

pub(crate) fn budget_max(budget: &Value, _: Context) -> Value {
    budget.at("spec.maxUnavailable").map_or("N/A".into(), |value| scalar(value).into())
}
