//! `kubectl patch`: changes to fields, in one of the three patch formats.

use serde_json::Value;

use crate::change::{Changes, DryRun, JSON_PATCH, MERGE, STRATEGIC};
use crate::cli::shared::{DRY_RUN, FILES, LOCAL, PRINT, RECORD, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each};

pub const COMMAND: Command = Command::new(
    "patch",
    "Update fields of a resource",
    "(-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]",
)
.examples(
    "# Mark a node as not schedulable\nkubectl patch node k8s-1 -p '{\"spec\":{\"unschedulable\":true}}'",
)
.flags(&[
    PRINT,
    DRY_RUN,
    FILES,
    LOCAL,
    RECORD,
    manager!("kubectl-patch"),
    &[
        Flag::text("patch", "The patch, JSON or YAML.").short('p'),
        Flag::text("patch-file", "File with the patch."),
        Flag::text("subresource", "Subresource to change."),
        Flag::text("type", "json, merge or strategic.").default("strategic"),
    ],
])
.run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    let kind = match cx.flags.text("type") {
        "strategic" => STRATEGIC,
        "merge" => MERGE,
        "json" => JSON_PATCH,
        other => {
            return Err(Error::Said(format!("--type must be one of [json merge strategic], not {other:?}")));
        }
    };
    let (inline, file) = (cx.flags.text("patch"), cx.flags.text("patch-file"));
    let text = match (inline.is_empty(), file.is_empty()) {
        (true, true) => {
            return Err(Error::said(
                "must specify --patch or --patch-file containing the contents of the patch",
            ));
        }
        (false, false) => return Err(Error::said("cannot specify --patch and --patch-file together")),
        (false, true) => inline.to_owned(),
        (true, false) => std::fs::read_to_string(file).map_err(|error| {
            Error::said(format!("unable to read patch file: open {file}: {}", crate::files::reason(&error)))
        })?,
    };
    let patch = api::codec::yaml_tree(&text)
        .map_err(|error| Error::said(format!("unable to parse {text:?}: {error}")))?
        .0;
    let mut changes = Changes::of(&cx)?;
    let (cx, mut wanted) = (&cx, Wanted::of(&cx));
    wanted.latest = true;
    let sub = wanted.subresource.clone();
    let is_local = wanted.local || changes.dry_run == DryRun::Client;
    for_each(cx, &wanted, async |info| {
        let after = if is_local {
            locally(&info, kind, &patch)?
        } else {
            changes.patch(cx, &info, &sub, kind, &patch).await?
        };
        let done = if changed(&info.object, &after) { "patched" } else { "patched (no change)" };
        changes.tell(&after, done)
    })
    .await?;
    Ok(())
}

/// Whether more than the server's own notes differ.
fn changed(before: &Value, after: &Value) -> bool {
    let bare = |object: &Value| {
        let mut bare = object.clone();
        if let Some(metadata) = bare["metadata"].as_object_mut() {
            for field in ["managedFields", "resourceVersion"] {
                metadata.remove(field);
            }
        }
        bare
    };
    bare(before) != bare(after)
}

fn locally(info: &Info, kind: &str, patch: &Value) -> Result<Value> {
    let mut object = info.object.clone();
    let bytes = patch.to_string().into_bytes();
    let result = match kind {
        JSON_PATCH => api::patch::json(&mut object, &bytes),
        MERGE => api::patch::merge(&mut object, &bytes),
        _ => {
            let r = &info.resource;
            let owner = api::Schema::builtin().kind(&r.group, &r.version, &r.kind);
            let owner = owner.ok_or_else(|| {
                Error::said(format!(
                    "strategic merge patch is not supported for {} locally, try --type merge",
                    r.kind
                ))
            })?;
            api::patch::strategic(owner, &mut object, &bytes)
        }
    };
    result.map_err(|error| Error::said(error.to_string()))?;
    Ok(object)
}
