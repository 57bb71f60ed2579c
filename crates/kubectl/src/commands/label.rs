//! `kubectl label` and `kubectl annotate`: one command on two fields.
//!
//! Upstream: kubectl/pkg/cmd/label, kubectl/pkg/cmd/annotate.

use serde_json::{Value, json};

use crate::change::{Changes, DryRun, MERGE};
use crate::cli::shared::{
    ALL, ALL_NAMESPACES, DRY_RUN, FIELD_SELECTOR, FILES, LOCAL, PRINT, RECORD, SELECTOR, manager,
};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each};

const OWN: &[Flag] = &[
    Flag::switch("list", "Show what is there."),
    Flag::switch("overwrite", "Change values that are there already."),
    Flag::text("resource-version", "Change only the object of this version."),
];

pub const LABEL: Command = Command::new(
    "label",
    "Update the labels on a resource",
    "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version]",
)
.examples("# Set\nkubectl label pods web unhealthy=true\n\n# Remove\nkubectl label pods web unhealthy-")
.flags(&[
    PRINT,
    DRY_RUN,
    FILES,
    SELECTOR,
    FIELD_SELECTOR,
    ALL,
    ALL_NAMESPACES,
    LOCAL,
    RECORD,
    manager!("kubectl-label"),
    OWN,
])
.run(|cx| Box::pin(run(cx, "labels")));

pub const ANNOTATE: Command = Command::new(
    "annotate",
    "Update the annotations on a resource",
    "[--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version]",
)
.examples("# Set\nkubectl annotate pods web description='my frontend'\n\n# Remove\nkubectl annotate pods web description-")
.flags(&[PRINT, DRY_RUN, FILES, SELECTOR, FIELD_SELECTOR, ALL, ALL_NAMESPACES, LOCAL, RECORD, manager!("kubectl-annotate"), OWN])
.run(|cx| Box::pin(run(cx, "annotations")));

/// What to set and what to remove.
struct Pairs {
    set: Vec<(String, String)>,
    remove: Vec<String>,
}

async fn run(cx: Context, field: &'static str) -> Result {
    let (resources, pairs) = split(&cx.args);
    let what = if field == "labels" { "label" } else { "annotation" };
    let list = cx.flags.on("list");
    let wanted = Wanted::of(&cx).args(&resources);
    if wanted.is_empty() {
        return Err(Error::said(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    let pairs = read(&pairs, what)?;
    if pairs.set.is_empty() && pairs.remove.is_empty() && !list {
        return Err(Error::said(format!("at least one {what} update is required")));
    }
    let version = cx.flags.text("resource-version").to_owned();
    let overwrite = cx.flags.on("overwrite");
    let is_named =
        wanted.files.is_empty() && resources.len() <= 2 && resources.iter().any(|arg| arg.contains('/'))
            || resources.len() == 2;
    if !version.is_empty() && !is_named {
        return Err(Error::said("--resource-version may only be used with a single resource"));
    }
    let mut changes = Changes::of(&cx)?;
    let cx = &cx;
    let wanted = wanted.latest();
    for_each(cx, &wanted, async |info| {
        if list {
            return show(&info, field);
        }
        if !overwrite {
            refuse_changes(&info, field, what, &pairs)?;
        }
        let after = change(&info.object, field, &pairs, &version);
        let object = if wanted.local
            || changes.dry_run == DryRun::Client
            || after == info.object && version.is_empty()
        {
            after.clone()
        } else {
            let patch = patch(field, &pairs, &version);
            changes.patch(cx, &info, "", MERGE, &patch).await?
        };
        let done = done(&info.object, &after, field, &pairs, changes.is_plain());
        changes.tell(&object, done)
    })
    .await?;
    Ok(())
}

/// Types and names first, then pairs.
fn split(args: &[String]) -> (Vec<String>, Vec<String>) {
    let is_pair = |arg: &&String| arg.contains('=') || arg.ends_with('-') && arg.len() > 1;
    let first = args.iter().position(|arg| is_pair(&arg)).unwrap_or(args.len());
    (args[..first].to_vec(), args[first..].to_vec())
}

fn read(texts: &[String], what: &str) -> Result<Pairs> {
    let mut pairs = Pairs { set: Vec::new(), remove: Vec::new() };
    for text in texts {
        if let Some((key, value)) = text.split_once('=') {
            if key.is_empty() {
                return Err(Error::said(format!("invalid {what} format: {text}")));
            }
            if pairs.set.iter().any(|(known, _)| known == key) {
                pairs.set.retain(|(known, _)| known != key);
            }
            pairs.set.push((key.to_owned(), value.to_owned()));
        } else if let Some(key) = text.strip_suffix('-') {
            pairs.remove.push(key.to_owned());
        } else {
            return Err(Error::said(if what == "label" {
                format!("unknown label spec: {text}")
            } else {
                format!("unexpected annotation spec: {text}")
            }));
        }
    }
    if let Some(both) = pairs.remove.iter().find(|key| pairs.set.iter().any(|(known, _)| known == *key)) {
        return Err(Error::said(format!(
            "can not both modify and remove {} {both:?} in the same command",
            if what == "label" { "a label" } else { "an annotation" }
        )));
    }
    Ok(pairs)
}

fn show(info: &Info, field: &str) -> Result {
    let mut text = String::new();
    for (name, value) in info.object["metadata"][field].as_object().into_iter().flatten() {
        text.push_str(&format!("{name}={}\n", value.as_str().unwrap_or("")));
    }
    crate::say(&text);
    Ok(())
}

fn refuse_changes(info: &Info, field: &str, what: &str, pairs: &Pairs) -> Result {
    let known = &info.object["metadata"][field];
    for (key, value) in &pairs.set {
        if let Some(old) = known[key].as_str().filter(|old| *old != value) {
            return Err(Error::said(if what == "label" {
                format!("'{key}' already has a value ({old}), and --overwrite is false")
            } else {
                format!(
                    "--overwrite is false but found the following declared annotation(s): '{key}' already has a value ({old})"
                )
            }));
        }
    }
    Ok(())
}

fn change(object: &Value, field: &str, pairs: &Pairs, version: &str) -> Value {
    let mut after = object.clone();
    for (key, value) in &pairs.set {
        if !after["metadata"][field].is_object() {
            after["metadata"][field] = json!({});
        }
        after["metadata"][field][key] = value.clone().into();
    }
    if let Some(map) = after["metadata"].get_mut(field).and_then(Value::as_object_mut) {
        pairs.remove.iter().for_each(|key| {
            map.remove(key);
        });
    }
    if !version.is_empty() {
        after["metadata"]["resourceVersion"] = version.into();
    }
    after
}

fn patch(field: &str, pairs: &Pairs, version: &str) -> Value {
    let mut patch = json!({"metadata": {field: {}}});
    for (key, value) in &pairs.set {
        patch["metadata"][field][key] = value.clone().into();
    }
    for key in &pairs.remove {
        patch["metadata"][field][key] = Value::Null;
    }
    if !version.is_empty() {
        patch["metadata"]["resourceVersion"] = version.into();
    }
    patch
}

fn done(before: &Value, after: &Value, field: &str, pairs: &Pairs, is_told: bool) -> &'static str {
    if field == "annotations" {
        return "annotated";
    }
    for key in &pairs.remove {
        if is_told && before["metadata"][field].get(key).is_none() {
            crate::say(&format!("label {key:?} not found.\n"));
        }
    }
    match (before == after, pairs.set.is_empty()) {
        (true, _) => "not labeled",
        (false, true) => "unlabeled",
        (false, false) => "labeled",
    }
}
