//! What all generators share: flags, names, and how the object is made.

use serde_json::{Value, json};

use crate::change::{Changes, DryRun, save_config};
use crate::cli::Flag;
use crate::cli::shared::{DRY_RUN, PRINT, SAVE_CONFIG, VALIDATE, manager};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::Info;

/// Flags of every generator, beside its own.
pub const PRINTED: &[Flag] = PRINT;
pub const DRY: &[Flag] = DRY_RUN;
pub const SAVED: &[Flag] = SAVE_CONFIG;
pub const VALIDATED: &[Flag] = VALIDATE;
pub const MANAGED_BY: &[Flag] = manager!("kubectl-create");

/// The flags of a generator: the common ones and its own.
macro_rules! flags {
    ($($own:expr),* $(,)?) => {
        &[
            $crate::commands::create::generate::PRINTED,
            $crate::commands::create::generate::DRY,
            $crate::commands::create::generate::SAVED,
            $crate::commands::create::generate::VALIDATED,
            $crate::commands::create::generate::MANAGED_BY,
            &[$($own),*],
        ]
    };
}
pub(super) use flags;

/// The one name that generators take.
///
/// # Errors
/// None, or several.
pub fn name(cx: &Context) -> Result<String> {
    let before = cx.dash.unwrap_or(cx.args.len());
    match &cx.args[..before] {
        [name] => Ok(name.clone()),
        others => Err(cx.usage(format!("exactly one NAME is required, got {}", others.len()))),
    }
}

/// The words behind `--`.
pub fn command_words(cx: &Context) -> Vec<String> {
    cx.dash.map(|dash| cx.args[dash..].to_vec()).unwrap_or_default()
}

/// # Errors
/// A flag that must be given is missing.
pub fn required(cx: &Context, names: &[&str]) -> Result {
    let missing: Vec<String> =
        names.iter().filter(|name| !cx.flags.has(name)).map(|name| format!("{name:?}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::said(format!("required flag(s) {} not set", missing.join(", "))))
}

/// `key=value` pairs as a map.
///
/// # Errors
/// A text that is no pair.
pub fn pairs(texts: &[String]) -> Result<Value> {
    let mut map = json!({});
    for text in texts {
        let (key, value) =
            text.split_once('=').ok_or_else(|| Error::said(format!("unexpected label spec: {text}")))?;
        map[key] = value.into();
    }
    Ok(map)
}

/// Creates `object` and tells of it.
///
/// # Errors
/// The server refuses.
pub async fn make(cx: &Context, mut object: Value) -> Result {
    let mut changes = Changes::of(cx)?;
    let text = |field: &str| object[field].as_str().unwrap_or("").to_owned();
    let (group_version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api::split_api_version(&group_version);
    let known = api::Schema::builtin()
        .resources()
        .iter()
        .find(|r| r.group == group && r.version == version && r.kind == kind);
    let known = known.ok_or_else(|| Error::said(format!("no description of {kind}")))?;
    let resource = crate::discovery::Resource {
        group: group.into(),
        version: version.into(),
        kind,
        plural: known.plural.to_string(),
        namespaced: known.namespaced,
        ..Default::default()
    };
    let namespace = cx.namespace_for(&resource).await?;
    let is_given = cx.access().await?.namespace_is_given;
    if let Some(namespace) = namespace.as_ref().filter(|_| changes.dry_run != DryRun::Client || is_given) {
        object["metadata"]["namespace"] = namespace.clone().into();
    }
    if cx.flags.on("save-config") {
        save_config(&mut object);
    }
    let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
    let info = Info { resource, namespace, name, object, source: String::new() };
    let made = changes.create(cx, &info).await.map_err(|error| match error {
        Error::Status(status) if status.reason != "Invalid" => {
            Error::Said(format!("failed to create {}: {}", info.resource.kind.to_lowercase(), status.message))
        }
        other => other,
    })?;
    changes.tell(&made, "created")
}
