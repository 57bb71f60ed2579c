//! Deployments, replica sets, stateful and daemon sets, jobs and cron jobs.

use serde_json::Value;

use super::Page;
use super::page::{items, or_none, plain, selector, text_at};
use super::template;
use crate::context::Context;
use crate::error::Result;
use crate::resources::{Info, Wanted, list_all};
use crate::text::date;

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn head(page: &mut Page, info: &Info) {
    page.field(0, "Name", &info.name);
    page.field(0, "Namespace", info.namespace.as_deref().unwrap_or(""));
}

/// A label selector in words.
fn label_selector(value: &Value) -> String {
    if value.is_null() {
        return "<unset>".into();
    }
    let mut all: Vec<String> = Vec::new();
    if value["matchLabels"].as_object().is_some_and(|map| !map.is_empty()) {
        all.push(selector(&value["matchLabels"]));
    }
    for term in items(&value["matchExpressions"]) {
        let values: Vec<&str> = items(&term["values"]).filter_map(Value::as_str).collect();
        all.push(match text_at(term, "operator") {
            "Exists" => text_at(term, "key").to_owned(),
            "DoesNotExist" => format!("!{}", text_at(term, "key")),
            operator => {
                format!("{} {} ({})", text_at(term, "key"), operator.to_lowercase(), values.join(","))
            }
        });
    }
    if all.is_empty() { "<none>".into() } else { all.join(",") }
}

/// The objects of `kind` that `info` owns.
async fn owned(cx: &Context, info: &Info, kind: &str) -> Result<Vec<Info>> {
    let resource = cx.resource(kind).await?;
    let labels = &info.object["spec"]["selector"];
    let labels = if labels["matchLabels"].is_object() { &labels["matchLabels"] } else { labels };
    let wanted = Wanted { labels: selector(labels).replace("<none>", ""), ..Wanted::default() };
    let mut all = list_all(cx, &resource, info.namespace.as_deref(), &wanted).await?;
    let uid = &info.object["metadata"]["uid"];
    all.retain(|own| items(&own.object["metadata"]["ownerReferences"]).any(|owner| owner["uid"] == *uid));
    Ok(all)
}

/// `1 Running / 0 Waiting / 0 Succeeded / 0 Failed`
async fn pod_counts(cx: &Context, info: &Info) -> Result<String> {
    let pods = owned(cx, info, "pods").await?;
    let count = |phase: &str| pods.iter().filter(|pod| pod.object["status"]["phase"] == phase).count();
    Ok(format!(
        "{} Running / {} Waiting / {} Succeeded / {} Failed",
        count("Running"),
        count("Pending"),
        count("Succeeded"),
        count("Failed")
    ))
}

fn conditions(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        return;
    }
    page.line(0, "Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------");
    for condition in items(list) {
        page.line(
            1,
            format!(
                "{} \t{}\t{}",
                text_at(condition, "type"),
                text_at(condition, "status"),
                text_at(condition, "reason")
            ),
        );
    }
}

pub async fn deployment(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    head(page, info);
    page.field(0, "CreationTimestamp", date(text_at(metadata, "creationTimestamp")));
    page.labels(metadata);
    page.field(0, "Selector", label_selector(&spec["selector"]));
    page.field(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number(&spec["replicas"]),
            number(&status["updatedReplicas"]),
            number(&status["replicas"]),
            number(&status["availableReplicas"]),
            number(&status["unavailableReplicas"])
        ),
    );
    page.field(0, "StrategyType", text_at(&spec["strategy"], "type"));
    page.field(0, "MinReadySeconds", number(&spec["minReadySeconds"]).to_string());
    let rolling = &spec["strategy"]["rollingUpdate"];
    if rolling.is_object() {
        page.field(
            0,
            "RollingUpdateStrategy",
            format!(
                "{} max unavailable, {} max surge",
                plain(&rolling["maxUnavailable"]),
                plain(&rolling["maxSurge"])
            ),
        );
    }
    template::write(page, &spec["template"]);
    conditions(page, &status["conditions"]);
    replica_sets(cx, page, info).await
}

async fn replica_sets(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let mut sets = owned(cx, info, "replicasets.apps").await?;
    sets.sort_by_key(|set| text_at(&set.object["metadata"], "creationTimestamp").to_owned());
    let bare = |template: &Value| {
        let mut bare = template.clone();
        if let Some(labels) = bare["metadata"]["labels"].as_object_mut() {
            labels.remove("pod-template-hash");
        }
        bare
    };
    let wanted = bare(&info.object["spec"]["template"]);
    let new = sets.iter().position(|set| bare(&set.object["spec"]["template"]) == wanted);
    let told = |set: &Info| {
        format!(
            "{} ({}/{} replicas created)",
            set.name,
            number(&set.object["status"]["replicas"]),
            number(&set.object["spec"]["replicas"])
        )
    };
    let old: Vec<String> =
        sets.iter().enumerate().filter(|(at, _)| Some(*at) != new).map(|(_, set)| told(set)).collect();
    page.line(0, format!("OldReplicaSets:\t{}", or_none(&old.join(", "))));
    page.line(0, format!("NewReplicaSet:\t{}", new.map_or("<none>".into(), |at| told(&sets[at]))));
    Ok(())
}

fn controlled_by(page: &mut Page, metadata: &Value) {
    if let Some(owner) = items(&metadata["ownerReferences"]).find(|owner| owner["controller"] == true) {
        page.line(0, format!("Controlled By:\t{}/{}", text_at(owner, "kind"), text_at(owner, "name")));
    }
}

pub async fn replica_set(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    head(page, info);
    let is_set =
        spec["selector"]["matchLabels"].is_object() || spec["selector"]["matchExpressions"].is_array();
    page.field(
        0,
        "Selector",
        if is_set { label_selector(&spec["selector"]) } else { selector(&spec["selector"]) },
    );
    page.labels(metadata);
    controlled_by(page, metadata);
    page.field(
        0,
        "Replicas",
        format!("{} current / {} desired", number(&status["replicas"]), number(&spec["replicas"])),
    );
    page.field(0, "Pods Status", pod_counts(cx, info).await?);
    template::write(page, &spec["template"]);
    conditions(page, &status["conditions"]);
    Ok(())
}

pub async fn stateful_set(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    head(page, info);
    page.field(0, "CreationTimestamp", date(text_at(metadata, "creationTimestamp")));
    page.field(0, "Selector", label_selector(&spec["selector"]));
    page.labels(metadata);
    page.field(
        0,
        "Replicas",
        format!("{} desired | {} total", number(&spec["replicas"]), number(&status["replicas"])),
    );
    page.field(0, "Update Strategy", text_at(&spec["updateStrategy"], "type"));
    if let Some(partition) = spec["updateStrategy"]["rollingUpdate"]["partition"].as_i64() {
        page.field(1, "Partition", partition.to_string());
    }
    page.field(0, "Pods Status", pod_counts(cx, info).await?);
    template::write(page, &spec["template"]);
    claims(page, &spec["volumeClaimTemplates"]);
    Ok(())
}

fn claims(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        page.line(0, "Volume Claims:\t<none>");
        return;
    }
    page.line(0, "Volume Claims:");
    for claim in items(list) {
        page.field(1, "Name", text_at(&claim["metadata"], "name"));
        page.field(1, "StorageClass", text_at(&claim["spec"], "storageClassName"));
        page.pairs("  ", "Labels", &claim["metadata"]["labels"], "=");
        page.pairs("  ", "Annotations", &claim["metadata"]["annotations"], "=");
        page.field(1, "Capacity", plain(&claim["spec"]["resources"]["requests"]["storage"]));
        page.field(1, "Access Modes", plain(&claim["spec"]["accessModes"]));
    }
}

pub async fn daemon_set(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    head(page, info);
    page.field(0, "Selector", label_selector(&spec["selector"]));
    page.field(0, "Node-Selector", selector(&spec["template"]["spec"]["nodeSelector"]));
    page.labels(metadata);
    for (title, field) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        page.line(0, format!("{title}: {}", number(&status[field])));
    }
    page.field(0, "Pods Status", pod_counts(cx, info).await?);
    template::write(page, &spec["template"]);
    Ok(())
}

pub fn job(page: &mut Page, info: &Info) {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    head(page, info);
    page.field(0, "Selector", label_selector(&spec["selector"]));
    page.labels(metadata);
    controlled_by(page, metadata);
    page.field(0, "Parallelism", plain(&spec["parallelism"]));
    page.field(
        0,
        "Completions",
        if spec["completions"].is_null() { "<unset>".into() } else { plain(&spec["completions"]) },
    );
    page.field(0, "Completion Mode", text_at(spec, "completionMode"));
    page.field(0, "Suspend", (spec["suspend"] == true).to_string());
    page.field(0, "Backoff Limit", plain(&spec["backoffLimit"]));
    for (title, field) in [("TTL Seconds After Finished", "ttlSecondsAfterFinished")] {
        if spec[field].is_number() {
            page.field(0, title, plain(&spec[field]));
        }
    }
    for (title, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
        if status[field].is_string() {
            page.field(0, title, date(text_at(status, field)));
        }
    }
    if let (Ok(from), Ok(to)) = (
        text_at(status, "startTime").parse::<jiff::Timestamp>(),
        text_at(status, "completionTime").parse::<jiff::Timestamp>(),
    ) {
        page.field(0, "Duration", crate::text::age(to.as_second() - from.as_second()));
    }
    if spec["activeDeadlineSeconds"].is_number() {
        page.field(0, "Active Deadline Seconds", format!("{}s", plain(&spec["activeDeadlineSeconds"])));
    }
    let ready = if status["ready"].is_number() {
        format!(" ({} Ready)", plain(&status["ready"]))
    } else {
        String::new()
    };
    page.field(
        0,
        "Pods Statuses",
        format!(
            "{} Active{ready} / {} Succeeded / {} Failed",
            number(&status["active"]),
            number(&status["succeeded"]),
            number(&status["failed"])
        ),
    );
    if spec["completionMode"] == "Indexed" {
        page.field(0, "Completed Indexes", or_none(text_at(status, "completedIndexes")));
    }
    template::write(page, &spec["template"]);
}

pub fn cron_job(page: &mut Page, info: &Info) {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    head(page, info);
    page.labels(metadata);
    page.field(0, "Schedule", text_at(spec, "schedule"));
    page.field(0, "Concurrency Policy", text_at(spec, "concurrencyPolicy"));
    page.field(0, "Suspend", if spec["suspend"] == true { "True" } else { "False" });
    for (title, field) in [
        ("Successful Job History Limit", "successfulJobsHistoryLimit"),
        ("Failed Job History Limit", "failedJobsHistoryLimit"),
    ] {
        page.field(0, title, if spec[field].is_null() { "<unset>".into() } else { plain(&spec[field]) });
    }
    let deadline = &spec["startingDeadlineSeconds"];
    page.field(
        0,
        "Starting Deadline Seconds",
        if deadline.is_null() { "<unset>".into() } else { format!("{}s", plain(deadline)) },
    );
    let job = &spec["jobTemplate"]["spec"];
    page.field(0, "Selector", label_selector(&job["selector"]));
    page.field(
        0,
        "Parallelism",
        if job["parallelism"].is_null() { "<unset>".into() } else { plain(&job["parallelism"]) },
    );
    page.field(
        0,
        "Completions",
        if job["completions"].is_null() { "<unset>".into() } else { plain(&job["completions"]) },
    );
    template::write(page, &job["template"]);
    let last = text_at(status, "lastScheduleTime");
    page.field(0, "Last Schedule Time", if last.is_empty() { "<unset>".into() } else { date(last) });
    let active: Vec<&str> = items(&status["active"]).map(|job| text_at(job, "name")).collect();
    page.field(0, "Active Jobs", or_none(&active.join(", ")));
}
