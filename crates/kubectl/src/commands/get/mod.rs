//! `kubectl get`: objects as the server's tables, or in any format.
//!
//! Upstream: kubectl/pkg/cmd/get/get.go.

mod tables;
mod watch;

use serde_json::{Value, json};

use crate::cli::shared::{ALL_NAMESPACES, CHUNK, FIELD_SELECTOR, FILES, PRINT_TABLE, SELECTOR};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::print::{Format, Printer, sort};
use crate::resources::{Target, Wanted, args};
use crate::rest::Ask;

pub const COMMAND: Command = Command::new(
    "get",
    "Display one or many resources",
    "get [(-o|--output=)json|yaml|kyaml|name|go-template|go-template-file|template|templatefile|jsonpath|jsonpath-as-json|jsonpath-file|custom-columns|custom-columns-file|wide] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags]",
)
.details("Display one or many resources: a table of what matters most, or the objects in a format of your choice.\n\nUse \"kubectl api-resources\" for a complete list of supported resources.")
.examples("# Pods of the current namespace\nkubectl get pods\n\n# More about them\nkubectl get pods -o wide\n\n# One field of one pod\nkubectl get pod web-1 -o jsonpath='{.status.podIP}'\n\n# Several types at once, in all namespaces\nkubectl get deployments,services -A")
.flags(&[
    PRINT_TABLE,
    FILES,
    SELECTOR,
    FIELD_SELECTOR,
    ALL_NAMESPACES,
    CHUNK,
    &[
        Flag::switch("ignore-not-found", "An object that is not there is no error."),
        Flag::list("label-columns", "Labels to show as columns, separated by commas.").short('L'),
        Flag::switch("no-headers", "No line of headers."),
        Flag::switch("output-watch-events", "Show each event of a watch with its type."),
        Flag::text("raw", "A path to ask the server for, as it stands."),
        Flag::switch("server-print", "Let the server make the table.").default("true"),
        Flag::switch("show-kind", "Show the type before each name."),
        Flag::switch("show-labels", "Show all labels in the last column."),
        Flag::text("sort-by", "Field to sort by, as a JSONPath ('{.metadata.name}')."),
        Flag::text("subresource", "Subresource to get instead of the object."),
        Flag::switch("watch", "Go on with what changes.").short('w'),
        Flag::switch("watch-only", "Only what changes."),
    ],
])
.run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    if !cx.flags.text("raw").is_empty() {
        return raw(&cx).await;
    }
    let wanted = Wanted { needs_names: false, ..Wanted::of(&cx) };
    if wanted.is_empty() && cx.flags.text("kustomize").is_empty() {
        eprint!(
            "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n\n"
        );
        return Err(Error::Said(format!(
            "Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods).\nSee '{} -h' for help and examples",
            cx.path
        )));
    }
    let is_watch = cx.flags.on("watch") || cx.flags.on("watch-only");
    if cx.flags.on("output-watch-events") && !is_watch {
        return Err(cx.usage("--output-watch-events option can only be used with --watch or --watch-only"));
    }
    let format = Format::of_table(&cx)?;
    let targets = targets(&cx, &wanted).await?;
    if is_watch {
        return watch::run(&cx, &wanted, targets, format).await;
    }
    if matches!(format, Format::Plain | Format::Wide) && cx.flags.on("server-print") {
        return tables::run(&cx, &wanted, targets, matches!(format, Format::Wide)).await;
    }
    let printer = Printer::new(&cx, format);
    whole(&cx, &wanted, targets, printer).await
}

/// Objects of files are asked for by name.
async fn targets(cx: &Context, wanted: &Wanted) -> Result<Vec<Result<Target>>> {
    args::targets(cx, &wanted.clone().latest()).await
}

async fn raw(cx: &Context) -> Result {
    if !cx.args.is_empty() || !cx.flags.list("filename").is_empty() {
        return Err(cx.usage("arguments may not be passed when --raw is specified"));
    }
    let path = cx.flags.text("raw");
    let ask = Ask {
        accept: "application/json, */*",
        ..Ask::get(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
    };
    let bytes = cx.rest().await?.bytes(&ask).await?;
    use std::io::Write;
    std::io::stdout().write_all(&bytes).map_err(|error| Error::said(error.to_string()))
}

/// Objects in a format: one alone, or all in a list.
async fn whole(cx: &Context, wanted: &Wanted, targets: Vec<Result<Target>>, mut printer: Printer) -> Result {
    let is_single = matches!(targets.as_slice(), [Ok(Target::Name { .. })]);
    let (mut objects, mut errors) = (Vec::new(), Vec::new());
    for target in targets {
        match objects_of(cx, wanted, target?).await {
            Ok(found) => objects.extend(found),
            Err(error) if error.is_not_found() && cx.flags.on("ignore-not-found") => {}
            Err(error) => errors.push(error),
        }
    }
    if !cx.flags.text("sort-by").is_empty() {
        sort::sort_by(&mut objects, cx.flags.text("sort-by"), |object| object)?;
    }
    if is_single {
        if let Some(object) = objects.first() {
            printer.print(object)?;
        }
        return Error::all(errors);
    }
    if errors.is_empty() || !objects.is_empty() {
        show_all(cx, &mut printer, objects, errors.is_empty())?;
    }
    Error::all(errors)
}

fn show_all(cx: &Context, printer: &mut Printer, objects: Vec<Value>, is_complete: bool) -> Result {
    if matches!(printer.format, Format::Columns(_) | Format::Name) {
        if objects.is_empty() && is_complete && matches!(printer.format, Format::Columns(_)) {
            // Headers alone.
            return printer.print(&json!({"kind": "List", "items": []}));
        }
        if matches!(printer.format, Format::Columns(_)) {
            return printer.print(&json!({"kind": "List", "items": objects}));
        }
        return objects.iter().try_for_each(|object| printer.print(object));
    }
    if matches!(printer.format, Format::Plain | Format::Wide) {
        return tables::local(cx, &objects);
    }
    printer.print(
        &json!({"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {"resourceVersion": ""}}),
    )
}

async fn objects_of(cx: &Context, wanted: &Wanted, target: Target) -> Result<Vec<Value>> {
    match target {
        Target::File(info) => Ok(vec![info.object]),
        Target::Name { resource, namespace, name } => {
            let path = resource.object_path(namespace.as_deref(), &name);
            let sub = &wanted.subresource;
            let path = if sub.is_empty() { path } else { format!("{path}/{sub}") };
            Ok(vec![cx.rest().await?.json(&Ask::get(path)).await?])
        }
        Target::List { resource, namespace } => {
            let infos = crate::resources::list_all(cx, &resource, namespace.as_deref(), wanted).await?;
            Ok(infos.into_iter().map(|info| info.object).collect())
        }
    }
}
