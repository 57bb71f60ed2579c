//! `kubectl rollout`: status, history, undo, restart, pause, resume.
//!
//! Upstream: kubectl/pkg/cmd/rollout, kubectl/pkg/polymorphichelpers.

mod history;
mod status;
mod undo;

use serde_json::{Value, json};

use crate::change::{Changes, DryRun, STRATEGIC};
use crate::cli::shared::{DRY_RUN, FILES, PRINT, SELECTOR, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each};

const HISTORY: Command = Command::new("history", "View rollout history", "(TYPE NAME | TYPE/NAME) [flags]")
    .flags(&[
        PRINT,
        FILES,
        SELECTOR,
        &[Flag::int("revision", "0", "Show the pod template of this revision.")],
    ])
    .run(|cx| Box::pin(history::run(cx)));

const PAUSE: Command = Command::new("pause", "Mark the provided resource as paused", "RESOURCE")
    .flags(&[PRINT, FILES, SELECTOR, manager!("kubectl-rollout")])
    .run(|cx| Box::pin(change(cx, "paused")));

const RESUME: Command = Command::new("resume", "Resume a paused resource", "RESOURCE")
    .flags(&[PRINT, FILES, SELECTOR, manager!("kubectl-rollout")])
    .run(|cx| Box::pin(change(cx, "resumed")));

const RESTART: Command = Command::new("restart", "Restart a resource", "RESOURCE")
    .flags(&[PRINT, FILES, SELECTOR, manager!("kubectl-rollout")])
    .run(|cx| Box::pin(change(cx, "restarted")));

const STATUS: Command =
    Command::new("status", "Show the status of the rollout", "(TYPE NAME | TYPE/NAME) [flags]")
        .flags(&[
            FILES,
            SELECTOR,
            &[
                Flag::int("revision", "0", "End with an error when another revision takes its place."),
                Flag::duration("timeout", "0s", "Longest wait; 0 is no limit."),
                Flag::switch("watch", "Wait until it is done.").short('w').default("true"),
            ],
        ])
        .run(|cx| Box::pin(status::run(cx)));

const UNDO: Command = Command::new("undo", "Undo a previous rollout", "(TYPE NAME | TYPE/NAME) [flags]")
    .flags(&[
        PRINT,
        DRY_RUN,
        FILES,
        SELECTOR,
        &[Flag::int("to-revision", "0", "The revision to go back to; 0 is the one before.")],
    ])
    .run(|cx| Box::pin(undo::run(cx)));

pub const COMMAND: Command = Command::new("rollout", "Manage the rollout of a resource", "SUBCOMMAND")
    .details("Manage the rollout of deployments, daemonsets and statefulsets.")
    .commands(&[HISTORY, PAUSE, RESTART, RESUME, STATUS, UNDO]);

fn required(cx: &Context) -> Result<Wanted> {
    let wanted = Wanted::of(cx).latest();
    if wanted.is_empty() {
        return Err(Error::said("required resource not specified"));
    }
    Ok(wanted)
}

async fn change(cx: Context, done: &'static str) -> Result {
    let wanted = required(&cx)?;
    let mut changes = Changes::of(&cx)?;
    let cx = &cx;
    for_each(cx, &wanted, async |info| {
        let patch = patch(&info, done)?;
        let after = changes.patch(cx, &info, "", STRATEGIC, &patch).await?;
        changes.tell(&after, done)
    })
    .await?;
    Ok(())
}

fn patch(info: &Info, done: &str) -> Result<Value> {
    let (full, name) = (info.resource.full_name(), &info.name);
    let is_paused = info.object["spec"]["paused"] == true;
    let verb = match done {
        "paused" => "pausing",
        "resumed" => "resuming",
        _ => "restarting",
    };
    let unsupported = || Error::said(format!("{full} {name:?} {verb} is not supported"));
    match (done, info.resource.kind.as_str()) {
        ("paused", "Deployment") if is_paused => {
            Err(Error::said(format!("{full} {name:?} is already paused")))
        }
        ("paused", "Deployment") => Ok(json!({"spec": {"paused": true}})),
        ("resumed", "Deployment") if !is_paused => Err(Error::said(format!("{full} {name:?} is not paused"))),
        ("resumed", "Deployment") => Ok(json!({"spec": {"paused": null}})),
        ("restarted", "Deployment") if is_paused => Err(Error::said(format!(
            "{full} {name:?} can't restart paused deployment (run rollout resume first)"
        ))),
        ("restarted", "Deployment" | "DaemonSet" | "StatefulSet") => {
            let now = crate::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            Ok(
                json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}}),
            )
        }
        _ => Err(unsupported()),
    }
}

/// What one object keeps of its past: revision numbers, templates, and why.
pub(super) struct Past {
    pub revision: i64,
    pub cause: String,
    /// The pod template; none where the object itself has to be patched with `patch`.
    pub template: Value,
    pub patch: Option<Value>,
}

/// The revisions of a deployment (its replica sets), daemon set or stateful set (their ControllerRevisions).
async fn past(cx: &Context, info: &Info) -> Result<Vec<Past>> {
    let kind = match info.resource.kind.as_str() {
        "Deployment" => "replicasets.apps",
        "DaemonSet" | "StatefulSet" => "controllerrevisions.apps",
        other => return Err(Error::said(format!("no history viewer has been implemented for {other:?}"))),
    };
    let resource = cx.resource(kind).await?;
    let selector = &info.object["spec"]["selector"]["matchLabels"];
    let labels: Vec<String> = selector
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    let wanted = Wanted { labels: labels.join(","), ..Wanted::default() };
    let owned = crate::resources::list_all(cx, &resource, info.namespace.as_deref(), &wanted).await?;
    let uid = &info.object["metadata"]["uid"];
    let is_owned = |object: &Value| {
        object["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|owner| owner["uid"] == *uid)
    };
    let mut past: Vec<Past> =
        owned.into_iter().filter(|own| is_owned(&own.object)).map(|own| one(&own.object)).collect();
    past.sort_by_key(|past| past.revision);
    Ok(past)
}

fn one(object: &Value) -> Past {
    let annotations = &object["metadata"]["annotations"];
    let cause = annotations["kubernetes.io/change-cause"].as_str().unwrap_or("").to_owned();
    if object["kind"] == "ReplicaSet" {
        let revision = annotations["deployment.kubernetes.io/revision"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        return Past { revision, cause, template: object["spec"]["template"].clone(), patch: None };
    }
    Past {
        revision: object["revision"].as_i64().unwrap_or(0),
        cause,
        template: object["data"]["spec"]["template"].clone(),
        patch: Some(object["data"].clone()),
    }
}

pub(super) fn is_client_dry_run(changes: &Changes) -> bool {
    changes.dry_run == DryRun::Client
}
