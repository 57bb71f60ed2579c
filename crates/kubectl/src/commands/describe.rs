//! `kubectl describe`: one page for each object, with its events.

use crate::cli::shared::{ALL_NAMESPACES, CHUNK, FILES, SELECTOR};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::describe::describe;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, infos, list_all};

pub const COMMAND: Command = Command::new(
    "describe",
    "Show details of a specific resource or group of resources",
    "(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
)
.examples("# A pod and what happened to it\nkubectl describe pod web-1\n\n# All whose names begin so\nkubectl describe pods web")
.flags(&[FILES, SELECTOR, ALL_NAMESPACES, CHUNK, &[Flag::switch("show-events", "With the object's events.").default("true")]])
.run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    let wanted = Wanted { needs_names: false, ..Wanted::of(&cx) }.latest();
    if wanted.is_empty() {
        return Err(Error::said(
            "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.",
        ));
    }
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for info in infos(&cx, &wanted).await? {
        match info {
            Ok(info) => found.push(info),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() && found.is_empty() && wanted.args.len() == 2 {
        found = prefixed(&cx, &wanted).await?;
        if !found.is_empty() {
            errors.clear();
        }
    }
    let with_events = cx.flags.on("show-events");
    for (at, info) in found.iter().enumerate() {
        match describe(&cx, info, with_events).await {
            Ok(page) => crate::say(&format!("{}{page}", if at > 0 { "\n\n" } else { "" })),
            Err(error) => errors.push(error),
        }
    }
    if found.is_empty() && errors.is_empty() {
        if wanted.all_namespaces {
            eprintln!("No resources found")
        } else {
            eprintln!("No resources found in {} namespace.", cx.namespace().await?)
        }
    }
    Error::all(errors)
}

/// Objects whose names begin with the given one.
async fn prefixed(cx: &Context, wanted: &Wanted) -> Result<Vec<Info>> {
    let [types, prefix] = wanted.args.as_slice() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for resource in crate::resources::args::resources(cx, types).await? {
        let namespace = cx.namespace_for(&resource).await?;
        let all = list_all(cx, &resource, namespace.as_deref(), &Wanted::default()).await?;
        found.extend(all.into_iter().filter(|info| info.name.starts_with(prefix.as_str())));
    }
    Ok(found)
}
