//! `kubectl rollout undo`: back to an earlier pod template.

use serde_json::{Value, json};

use super::{Past, is_client_dry_run, past};
use crate::change::{Changes, JSON_PATCH, STRATEGIC};
use crate::context::Context;
use crate::describe::pod_template;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each};

pub async fn run(cx: Context) -> Result {
    if Wanted::of(&cx).is_empty() {
        return Err(Error::said("required resource not specified"));
    }
    let mut changes = Changes::of(&cx)?;
    let to = cx.flags.int("to-revision");
    let cx = &cx;
    for_each(cx, &Wanted::of(cx).latest(), async |info| {
        if info.resource.kind == "Deployment" && info.object["spec"]["paused"] == true {
            return Err(Error::said("you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again"));
        }
        let past = past(cx, &info).await?;
        let target = target(&past, to)?;
        let is_same = same(&target.template, &info.object["spec"]["template"]);
        if is_client_dry_run(&changes) {
            if changes.is_plain() {
                crate::say(&format!("{} Pod Template:\n{}\n", info.told(), pod_template(&target.template)));
                return Ok(());
            }
            return changes.tell(&info.object, "rolled back");
        }
        if is_same {
            let text = format!("skipped rollback (current template already matches revision {to})");
            return changes.tell(&info.object, &text);
        }
        go_back(cx, &changes, &info, target).await?;
        changes.tell(&info.object, "rolled back")
    })
    .await?;
    Ok(())
}

fn target(past: &[Past], to: i64) -> Result<&Past> {
    if to > 0 {
        return past
            .iter()
            .find(|past| past.revision == to)
            .ok_or_else(|| Error::said(format!("unable to find specified revision {to} in history")));
    }
    let before = past.len().checked_sub(2).and_then(|at| past.get(at));
    before.ok_or_else(|| Error::said("no rollout history found for this resource".to_owned()))
}

/// The same template, whatever hash a replica set put on it.
fn same(a: &Value, b: &Value) -> bool {
    bare(a) == bare(b)
}

fn bare(template: &Value) -> Value {
    let mut bare = template.clone();
    if let Some(labels) = bare["metadata"]["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    bare
}

async fn go_back(cx: &Context, changes: &Changes, info: &Info, target: &Past) -> Result {
    match &target.patch {
        Some(patch) => changes.patch(cx, info, "", STRATEGIC, patch).await?,
        None => {
            let patch = json!([{"op": "replace", "path": "/spec/template", "value": bare(&target.template)}]);
            changes.patch(cx, info, "", JSON_PATCH, &patch).await?
        }
    };
    Ok(())
}
