//! `kubectl replace`: objects by files; with --force, deleted and created anew.

use http::Method;

use super::delete::{Deletion, wait_gone};
use crate::change::{Changes, DryRun, LAST_APPLIED, save_config};
use crate::cli::shared::{DELETION, DRY_RUN, FILES, PRINT, RECORD, SAVE_CONFIG, VALIDATE, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Wanted, for_each};

pub const COMMAND: Command =
    Command::new("replace", "Replace a resource by file name or stdin", "-f FILENAME")
        .flags(&[
            PRINT,
            DRY_RUN,
            FILES,
            SAVE_CONFIG,
            VALIDATE,
            DELETION,
            RECORD,
            manager!("kubectl-replace"),
            &[
                Flag::text("raw", "A path to PUT the file to."),
                Flag::text("subresource", "Subresource to replace."),
                Flag::switch("wait", "Return when they are gone, finalizers and all."),
            ],
        ])
        .run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    let wanted = Wanted::of(&cx);
    if wanted.files.is_empty() {
        return Err(Error::said("must specify one of -f and -k"));
    }
    if !cx.flags.text("raw").is_empty() {
        return crate::change::raw(&cx, Method::PUT, &wanted.files).await;
    }
    if (cx.flags.int("grace-period") >= 0 || cx.flags.has("timeout")) && !cx.flags.on("force") {
        return Err(Error::said("--grace-period and --timeout must have --force specified"));
    }
    let mut changes = Changes::of(&cx)?;
    let (cx, save) = (&cx, cx.flags.on("save-config"));
    let is_forced = cx.flags.on("force");
    let deletion = Deletion::of(cx)?;
    for_each(cx, &wanted, async |mut info| {
        if save || info.object["metadata"]["annotations"].get(LAST_APPLIED).is_some() {
            save_config(&mut info.object);
        }
        if changes.dry_run == DryRun::Client {
            return changes.tell(&info.object.clone(), "replaced");
        }
        let telling = |error: Error| error.doing("replacing", &info.source);
        if is_forced {
            match deletion.delete(cx, &info).await {
                Ok(answer) => {
                    deletion.tell(&info);
                    wait_gone(cx, &info, &answer, deletion.timeout).await?;
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
            let made =
                changes.create(cx, &info).await.map_err(|error| error.doing("creating", &info.source))?;
            return changes.tell(&made, "replaced");
        }
        let made = changes.replace(cx, &info, &wanted.subresource).await.map_err(telling)?;
        changes.tell(&made, "replaced")
    })
    .await?;
    Ok(())
}
