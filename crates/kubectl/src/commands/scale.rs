//! `kubectl scale`: how many replicas, through the scale subresource.

use serde_json::{Value, json};

use crate::change::{Changes, DryRun, MERGE};
use crate::cli::shared::{ALL, DRY_RUN, FILES, PRINT, RECORD, SELECTOR};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each};
use crate::rest::Ask;
use crate::watch::until;

pub const COMMAND: Command = Command::new(
    "scale",
    "Set a new size for a deployment, replica set, or replication controller",
    "[--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME)",
)
.flags(&[
    PRINT,
    DRY_RUN,
    FILES,
    SELECTOR,
    ALL,
    RECORD,
    &[
        Flag::int("current-replicas", "-1", "Scale only what has this many now."),
        Flag::int("replicas", "0", "The new number."),
        Flag::text("resource-version", "Scale only the object of this version."),
        Flag::duration("timeout", "0s", "Longest wait for the new size; 0 does not wait."),
    ],
])
.run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    if !cx.flags.has("replicas") {
        return Err(Error::said("required flag(s) \"replicas\" not set"));
    }
    let replicas = cx.flags.int("replicas");
    if replicas < 0 {
        return Err(Error::said(
            "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
        ));
    }
    let mut changes = Changes::of(&cx)?;
    let cx = &cx;
    let wanted = Wanted::of(cx).latest();
    let scaled = for_each(cx, &wanted, async |info| {
        check(cx, &info).await?;
        if changes.dry_run == DryRun::Client {
            return changes.tell(&info.object, "scaled");
        }
        let patch = json!({"spec": {"replicas": replicas}});
        changes.patch(cx, &info, "scale", MERGE, &patch).await?;
        wait(cx, &changes, &info, replicas).await?;
        changes.tell(&info.object, "scaled")
    })
    .await?;
    if scaled == 0 {
        return Err(Error::said("no objects passed to scale"));
    }
    Ok(())
}

/// With `--timeout`: until the object's controller has as many as were asked for.
async fn wait(cx: &Context, changes: &Changes, info: &Info, replicas: i64) -> Result {
    let patience = cx.flags.duration("timeout");
    if patience.is_zero() || changes.dry_run != DryRun::No {
        return Ok(());
    }
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let is_scaled = |object: &Value| {
        let (spec, status) = (&object["spec"], &object["status"]);
        number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"])
            && spec["replicas"] == replicas
            && number(&status["replicas"]) == replicas
    };
    until(cx, info, tokio::time::Instant::now() + patience, is_scaled).await.map(drop)
}

async fn check(cx: &Context, info: &Info) -> Result {
    let version = cx.flags.text("resource-version");
    let current = cx.flags.int("current-replicas");
    if version.is_empty() && current < 0 {
        return Ok(());
    }
    let scale = cx.rest().await?.json(&Ask::get(format!("{}/scale", info.path()))).await?;
    let now = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if current >= 0 && now != current {
        return Err(Error::said(format!("Expected replicas to be {current}, was {now}")));
    }
    let known = scale["metadata"]["resourceVersion"].as_str().unwrap_or("");
    if !version.is_empty() && known != version {
        return Err(Error::said(format!("Expected resource version to be {version}, was {known}")));
    }
    Ok(())
}
