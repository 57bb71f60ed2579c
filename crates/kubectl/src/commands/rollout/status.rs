//! `kubectl rollout status`: follows one object until its rollout is done.

use serde_json::Value;

use super::past;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each};
use crate::rest::Ask;
use crate::text::query;
use crate::watch::Watch;

pub async fn run(cx: Context) -> Result {
    if cx.flags.int("revision") < 0 {
        return Err(Error::said(format!(
            "revision must be a positive integer: {}",
            cx.flags.int("revision")
        )));
    }
    if Wanted::of(&cx).is_empty() {
        return Err(Error::said("required resource not specified"));
    }
    let limit = cx.flags.duration("timeout");
    let cx = &cx;
    let wanted = Wanted::of(cx).latest();
    let following = for_each(cx, &wanted, async |info| follow(cx, &info).await);
    if limit.is_zero() {
        following.await?;
        return Ok(());
    }
    tokio::time::timeout(limit, following)
        .await
        .map_err(|_| Error::said("timed out waiting for the condition"))??;
    Ok(())
}

async fn follow(cx: &Context, info: &Info) -> Result {
    let revision = cx.flags.int("revision");
    if revision > 0 && past(cx, info).await?.last().is_none_or(|last| last.revision != revision) {
        return Err(Error::said("desired revision is not the current one"));
    }
    let mut told = String::new();
    let mut object = info.object.clone();
    loop {
        let (text, is_done) = status(info, &object)?;
        if text != told {
            crate::say(&format!("{text}\n"));
            told = text;
        }
        if is_done || !cx.flags.on("watch") {
            return Ok(());
        }
        object = next(cx, info, &object).await?;
    }
}

/// The object after its next change.
async fn next(cx: &Context, info: &Info, known: &Value) -> Result<Value> {
    let field = format!("metadata.name={}", info.name);
    let mut revision = known["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
    loop {
        let path = info.resource.path(info.namespace.as_deref())
            + &query(&[("fieldSelector", &field), ("resourceVersion", &revision), ("watch", "true")]);
        let mut watch = Watch::open(cx.rest().await?, &Ask::get(path)).await?;
        // A watch that ends or breaks is started again from what is there.
        while let Ok(Some((kind, object))) = watch.next().await {
            match kind.as_str() {
                "DELETED" => return Err(Error::said("object has been deleted")),
                "ADDED" | "MODIFIED" => return Ok(object),
                _ => {}
            }
        }
        let now = cx.rest().await?.json(&Ask::get(info.path())).await?;
        if now["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"] {
            return Ok(now);
        }
        now["metadata"]["resourceVersion"].as_str().unwrap_or("").clone_into(&mut revision);
    }
}

/// What is said of it, and whether it is done.
fn status(info: &Info, object: &Value) -> Result<(String, bool)> {
    match info.resource.kind.as_str() {
        "Deployment" => deployment(object),
        "DaemonSet" => daemon_set(object),
        "StatefulSet" => stateful_set(object),
        other => Err(Error::said(format!("no status viewer has been implemented for {other}"))),
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn is_observed(object: &Value) -> bool {
    number(&object["status"]["observedGeneration"]) >= number(&object["metadata"]["generation"])
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or("")
}

fn deployment(object: &Value) -> Result<(String, bool)> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if !is_observed(object) {
        return Ok(("Waiting for deployment spec update to be observed...".into(), false));
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut progressing = conditions.filter(|condition| condition["type"] == "Progressing");
    if progressing.any(|condition| condition["reason"] == "ProgressDeadlineExceeded") {
        return Err(Error::said(format!("deployment {:?} exceeded its progress deadline", name(object))));
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let (all, updated, available) = (
        number(&status["replicas"]),
        number(&status["updatedReplicas"]),
        number(&status["availableReplicas"]),
    );
    let waiting = |what: String| {
        Ok((format!("Waiting for deployment {:?} rollout to finish: {what}...", name(object)), false))
    };
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return waiting(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Ok((format!("deployment {:?} successfully rolled out", name(object)), true))
}

fn daemon_set(object: &Value) -> Result<(String, bool)> {
    let status = &object["status"];
    if object["spec"]["updateStrategy"]["type"] != "RollingUpdate" {
        return Err(Error::said("rollout status is only available for RollingUpdate strategy type"));
    }
    if !is_observed(object) {
        return Ok(("Waiting for daemon set spec update to be observed...".into(), false));
    }
    let (wanted, updated, available) = (
        number(&status["desiredNumberScheduled"]),
        number(&status["updatedNumberScheduled"]),
        number(&status["numberAvailable"]),
    );
    let waiting = |what: String| {
        Ok((format!("Waiting for daemon set {:?} rollout to finish: {what}...", name(object)), false))
    };
    if updated < wanted {
        return waiting(format!("{updated} out of {wanted} new pods have been updated"));
    }
    if available < wanted {
        return waiting(format!("{available} of {wanted} updated pods are available"));
    }
    Ok((format!("daemon set {:?} successfully rolled out", name(object)), true))
}

fn stateful_set(object: &Value) -> Result<(String, bool)> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if spec["updateStrategy"]["type"] != "RollingUpdate" {
        return Err(Error::said("rollout status is only available for RollingUpdate strategy type"));
    }
    if !is_observed(object) {
        return Ok(("Waiting for statefulset spec update to be observed...".into(), false));
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    if number(&status["readyReplicas"]) < wanted {
        return Ok((
            format!("Waiting for {} pods to be ready...", wanted - number(&status["readyReplicas"])),
            false,
        ));
    }
    let partition = number(&spec["updateStrategy"]["rollingUpdate"]["partition"]);
    if partition > 0 {
        let new = wanted - partition;
        if number(&status["updatedReplicas"]) < new {
            return Ok((
                format!(
                    "Waiting for partitioned roll out to finish: {} out of {new} new pods have been updated...",
                    number(&status["updatedReplicas"])
                ),
                false,
            ));
        }
        return Ok((
            format!(
                "partitioned roll out complete: {} new pods have been updated...",
                number(&status["updatedReplicas"])
            ),
            true,
        ));
    }
    if status["updateRevision"] != status["currentRevision"] {
        return Ok((
            format!(
                "waiting for statefulset rolling update to complete {} pods at revision {}...",
                number(&status["updatedReplicas"]),
                status["updateRevision"].as_str().unwrap_or("")
            ),
            false,
        ));
    }
    let revision = status["currentRevision"].as_str().unwrap_or("");
    Ok((
        format!(
            "statefulset rolling update complete {} pods at revision {revision}...",
            number(&status["currentReplicas"])
        ),
        true,
    ))
}
