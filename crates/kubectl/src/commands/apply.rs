//! `kubectl apply`: what is wanted, merged into what is; by this program, or by the server.
//!
//! Upstream: kubectl/pkg/cmd/apply (apply.go, patcher.go).

use http::Method;
use serde_json::Value;

use crate::change::{APPLY, Changes, DryRun, LAST_APPLIED, MERGE, STRATEGIC, configuration, set_annotation};
use crate::cli::shared::{ALL, DELETION, DRY_RUN, FILES, PRINT, RECORD, SELECTOR, VALIDATE, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each, get_one};
use crate::rest::Ask;

const VIEW: Command = Command::new(
    "view-last-applied",
    "View the latest last-applied-configuration annotations of a resource/object",
    "(TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME)",
)
.flags(&[FILES, SELECTOR, ALL, &[Flag::text("output", "json or yaml.").short('o').default("yaml")]])
.run(|cx| Box::pin(view(cx)));

pub const COMMAND: Command = Command::new("apply", "Apply a configuration to a resource by file name or stdin", "(-f FILENAME | -k DIRECTORY)")
    .details("Apply a configuration to a resource by file name or stdin. What is not there yet is created; of what is there, only what the configuration says is changed.\n\nJSON and YAML are read.")
    .commands(&[VIEW])
    .flags(&[
        PRINT,
        DRY_RUN,
        FILES,
        SELECTOR,
        ALL,
        VALIDATE,
        DELETION,
        RECORD,
        manager!("kubectl-client-side-apply"),
        &[
            Flag::switch("force-conflicts", "With --server-side: take fields over from others."),
            Flag::switch("openapi-patch", "Taken for compatibility: built-in types are known here.").default("true"),
            Flag::switch("overwrite", "Values of the configuration win over those of the object.").default("true"),
            Flag::switch("prune", "Delete what is no longer in the files; not built yet."),
            Flag::each("prune-allowlist", "Kinds for --prune."),
            Flag::switch("server-side", "Let the server merge."),
            Flag::text("subresource", "With --server-side: the subresource to change."),
            Flag::switch("wait", "With --force: wait until what is replaced is gone."),
        ],
    ])
    .run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    let wanted = Wanted::of(&cx);
    if wanted.files.is_empty() {
        return Err(Error::said("must specify one of -f and -k"));
    }
    if !cx.args.is_empty() {
        return Err(cx.usage(format!("Unexpected args: [{}]", cx.args.join(" "))));
    }
    if cx.flags.on("prune") {
        return Err(Error::said("--prune is not built yet"));
    }
    let is_server_side = cx.flags.on("server-side");
    if cx.flags.on("force-conflicts") && !is_server_side {
        return Err(Error::said("--force-conflicts only works with --server-side"));
    }
    let mut changes = Changes::of(&cx)?;
    if is_server_side && changes.dry_run == DryRun::Client {
        return Err(Error::said(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
        ));
    }
    let cx = &cx;
    let done = for_each(cx, &wanted, async |info| {
        if is_server_side {
            by_server(cx, &mut changes, &info).await
        } else {
            by_client(cx, &mut changes, info).await
        }
    })
    .await?;
    if done == 0 { Err(Error::said("no objects passed to apply")) } else { Ok(()) }
}

async fn by_server(cx: &Context, changes: &mut Changes, info: &Info) -> Result {
    if info.name.is_empty() {
        return Err(Error::said("metadata.name is required when using server-side apply"));
    }
    // Server-side apply has a manager of its own unless one was asked for.
    let manager =
        if cx.flags.has("field-manager") { changes.manager().to_owned() } else { "kubectl".to_owned() };
    let dry_run = if changes.dry_run == DryRun::Server { "All" } else { "" };
    let validation = match cx.flags.text("validate") {
        "strict" | "true" => "Strict",
        "warn" => "Warn",
        _ => "Ignore",
    };
    let query = crate::text::query(&[
        ("dryRun", dry_run),
        ("fieldManager", &manager),
        ("fieldValidation", validation),
        ("force", if cx.flags.on("force-conflicts") { "true" } else { "false" }),
    ]);
    let sub = match cx.flags.text("subresource") {
        "" => String::new(),
        sub => format!("/{sub}"),
    };
    let path = format!("{}{sub}{query}", info.path());
    let answer =
        cx.rest().await?.json(&Ask::with(Method::PATCH, path, &info.object).content_type(APPLY)).await;
    let applied = answer.map_err(|error| match error {
        Error::Status(mut status) if status.reason == "Conflict" => {
            status.message = format!(
                "{}\nPlease review the fields above--they currently have other managers. Here\nare the ways you can resolve this warning:\n* If you intend to manage all of these fields, please re-run the apply\n  command with the `--force-conflicts` flag.\n* If you do not intend to manage all of the fields, please edit your\n  manifest to remove references to the fields that should keep their\n  current managers.\n* You may co-own fields by updating your manifest to match the existing\n  value; in this case, you'll become the manager if the other manager(s)\n  stop managing the field (remove it from their configuration).\nSee https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
                status.message
            );
            Error::Status(status)
        }
        other => other,
    })?;
    changes.tell(&applied, "serverside-applied")
}

async fn by_client(cx: &Context, changes: &mut Changes, mut info: Info) -> Result {
    if info.name.is_empty() && info.object["metadata"].get("generateName").is_some() {
        return Err(Error::said(format!(
            "from {}: cannot use generate name with apply",
            info.object["metadata"]["generateName"].as_str().unwrap_or("")
        )));
    }
    let noted = configuration(&info.object);
    let current = match current(cx, &info).await? {
        Some(current) => current,
        None => {
            set_annotation(&mut info.object, LAST_APPLIED, &noted);
            let made =
                changes.create(cx, &info).await.map_err(|error| error.doing("creating", &info.source))?;
            return changes.tell(&made, "created");
        }
    };
    if current["metadata"]["annotations"].get(LAST_APPLIED).is_none() {
        eprintln!(
            "Warning: resource {}/{} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
            info.resource.plural, info.name
        );
    }
    if changes.dry_run == DryRun::Client {
        return changes.tell(&merged_locally(&info, &current, &noted)?, "configured");
    }
    let (kind, patch) = patch(&info, &current, &noted);
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return changes.tell(&current, "unchanged");
    }
    let after =
        changes.patch(cx, &info, "", kind, &patch).await.map_err(|error| applying(error, &patch, &info))?;
    let same = after["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
        && changes.dry_run == DryRun::No;
    changes.tell(&after, if same { "unchanged" } else { "configured" })
}

async fn current(cx: &Context, info: &Info) -> Result<Option<Value>> {
    let told = |error: &str| {
        let r = &info.resource;
        Error::said(format!(
            "error when retrieving current configuration of:\nResource: \"{0}, Resource={1}\", GroupVersionKind: \"{0}, Kind={2}\"\nName: {3:?}, Namespace: {4:?}\nfrom server for: {5:?}: {error}",
            format!("{}/{}", r.group, r.version),
            r.plural,
            r.kind,
            info.name,
            info.namespace.as_deref().unwrap_or(""),
            info.source
        ))
    };
    if info.name.is_empty() {
        return Err(told("resource name may not be empty"));
    }
    match get_one(cx, &info.resource, info.namespace.as_deref(), &info.name).await {
        Ok(found) => Ok(Some(found.object)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(Error::Status(mut status)) => {
            status.message = told(&status.message).to_string();
            Err(Error::Status(status))
        }
        Err(error) => Err(error),
    }
}

fn patch(info: &Info, current: &Value, noted: &str) -> (&'static str, Value) {
    let mut wanted = info.object.clone();
    set_annotation(&mut wanted, LAST_APPLIED, noted);
    let last = current["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap_or("{}");
    // A note that somebody damaged removes nothing.
    let last: Value = serde_json::from_str(last).unwrap_or(Value::Null);
    let r = &info.resource;
    let owner = api::Schema::builtin().kind(&r.group, &r.version, &r.kind);
    let patch = crate::merge::three_way(owner, &last, &wanted, current);
    (if owner.is_some() { STRATEGIC } else { MERGE }, patch)
}

fn merged_locally(info: &Info, current: &Value, noted: &str) -> Result<Value> {
    let (kind, patch) = patch(info, current, noted);
    let mut merged = current.clone();
    let bytes = patch.to_string().into_bytes();
    let r = &info.resource;
    let result = match api::Schema::builtin().kind(&r.group, &r.version, &r.kind) {
        Some(owner) if kind == STRATEGIC => api::patch::strategic(owner, &mut merged, &bytes),
        _ => api::patch::merge(&mut merged, &bytes),
    };
    result.map_err(|error| Error::said(error.to_string()))?;
    Ok(merged)
}

fn applying(error: Error, patch: &Value, info: &Info) -> Error {
    match error {
        Error::Status(mut status) if status.reason != "Invalid" => {
            let r = &info.resource;
            let group_version = format!("{}/{}", r.group, r.version);
            status.message = format!(
                "error when applying patch:\n{}\nto:\nResource: \"{group_version}, Resource={}\", GroupVersionKind: \"{group_version}, Kind={}\"\nName: {:?}, Namespace: {:?}\nfor: {:?}: error when patching {:?}: {}",
                crate::print::json::compact(patch),
                r.plural,
                r.kind,
                info.name,
                info.namespace.as_deref().unwrap_or(""),
                info.source,
                info.source,
                status.message
            );
            Error::Status(status)
        }
        other => other,
    }
}

async fn view(cx: Context) -> Result {
    let output = cx.flags.text("output").to_owned();
    if !matches!(output.as_str(), "yaml" | "json") {
        return Err(cx.usage(format!(
            "Unexpected -o output mode: {output}, the flag 'output' must be one of yaml|json"
        )));
    }
    for_each(&cx, &Wanted::of(&cx).latest(), async |info| {
        let noted = info.object["metadata"]["annotations"][LAST_APPLIED].as_str();
        let noted = noted.ok_or_else(|| {
            Error::said(format!("no last-applied-configuration annotation found on resource: {}", info.name))
        })?;
        let object: Value = serde_json::from_str(noted).map_err(|error| Error::said(error.to_string()))?;
        crate::say(&if output == "json" {
            crate::print::json::pretty(&object) + "\n"
        } else {
            api::encode_yaml(&object)
        });
        Ok(())
    })
    .await?;
    Ok(())
}
