//! `kubectl delete`: by files, names, selectors; waits until they are gone.
//!
//! Upstream: kubectl/pkg/cmd/delete/delete.go.

use std::io::{BufRead, Write};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::change::DryRun;
use crate::cli::shared::{ALL, ALL_NAMESPACES, DELETION, DRY_RUN, FIELD_SELECTOR, FILES, SELECTOR};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, infos};
use crate::rest::Ask;
use crate::text::query;
use crate::watch::Watch;

pub const COMMAND: Command = Command::new(
    "delete",
    "Delete resources by file names, stdin, resources and names, or by resources and label selector",
    "delete ([-f FILENAME] | [-k DIRECTORY] | TYPE [(NAME | -l label | --all)])",
)
.examples("# What a file describes\nkubectl delete -f web.yaml\n\n# By label\nkubectl delete pods,services -l app=web\n\n# At once\nkubectl delete pod web-1 --now")
.flags(&[
    FILES,
    SELECTOR,
    FIELD_SELECTOR,
    ALL,
    ALL_NAMESPACES,
    DELETION,
    DRY_RUN,
    &[
        Flag::switch("ignore-not-found", "An object that is not there is no error."),
        Flag::switch("interactive", "Ask before anything is deleted.").short('i'),
        Flag::switch("now", "A grace period of one second."),
        Flag::text("output", "name, or nothing.").short('o'),
        Flag::text("raw", "A path to send DELETE to."),
        Flag::switch("wait", "Return when they are gone, finalizers and all.").default("true"),
    ],
])
.run(|cx| Box::pin(run(cx)));

/// How objects are deleted.
pub struct Deletion {
    pub options: Value,
    pub wait: bool,
    pub timeout: Option<Duration>,
    dry_run: DryRun,
    short: bool,
    what: &'static str,
}

impl Deletion {
    /// By the usual flags.
    ///
    /// # Errors
    /// Flags that contradict each other.
    pub fn of(cx: &Context) -> Result<Self> {
        let flags = &cx.flags;
        let mut grace = flags.int("grace-period");
        let force = flags.on("force");
        if flags.on("now") {
            if grace != -1 {
                return Err(Error::said("--now and --grace-period cannot be specified together"));
            }
            grace = 1;
        }
        if grace == 0 && !force {
            // Upstream turns an unforced zero into the shortest graceful end.
            grace = 1;
        }
        if force && grace < 0 {
            grace = 0;
        }
        if force && grace > 0 {
            return Err(Error::said(
                "--force and --grace-period greater than 0 cannot be specified together",
            ));
        }
        let dry_run = DryRun::of(cx)?;
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": cascade(flags.text("cascade"))?});
        if grace >= 0 {
            options["gracePeriodSeconds"] = grace.into();
        }
        if dry_run == DryRun::Server {
            options["dryRun"] = json!(["All"]);
        }
        let timeout = flags.duration("timeout");
        Ok(Self {
            options,
            wait: flags.on("wait") && dry_run == DryRun::No,
            timeout: (timeout > Duration::ZERO).then_some(timeout),
            dry_run,
            short: flags.text("output") == "name",
            what: if grace == 0 { "force deleted" } else { "deleted" },
        })
    }

    /// # Errors
    /// The server refuses.
    pub async fn delete(&self, cx: &Context, info: &Info) -> Result<Value> {
        if self.dry_run == DryRun::Client {
            return Ok(Value::Null);
        }
        cx.rest().await?.json(&Ask::with(Method::DELETE, info.path(), &self.options)).await
    }

    pub fn tell(&self, info: &Info) {
        let kind = info.resource.told_name();
        if self.short {
            crate::say(&format!("{kind}/{}\n", info.name));
            return;
        }
        let place = info
            .namespace
            .as_ref()
            .map(|namespace| format!(" from {namespace} namespace"))
            .unwrap_or_default();
        let how = match self.dry_run {
            DryRun::No => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        };
        crate::say(&format!("{kind} {:?} {}{place}{how}\n", info.name, self.what));
    }
}

fn cascade(value: &str) -> Result<&'static str> {
    match value {
        "background" | "true" | "" => Ok("Background"),
        "orphan" | "false" => Ok("Orphan"),
        "foreground" => Ok("Foreground"),
        other => Err(Error::said(format!(
            "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
        ))),
    }
}

async fn run(cx: Context) -> Result {
    if !matches!(cx.flags.text("output"), "" | "name") {
        return Err(cx.usage(format!(
            "unexpected -o output mode: {}. We only support '-o name'",
            cx.flags.text("output")
        )));
    }
    let deletion = Deletion::of(&cx)?;
    if !cx.flags.text("raw").is_empty() {
        let bytes = cx
            .rest()
            .await?
            .bytes(&Ask::with(Method::DELETE, cx.flags.text("raw"), &deletion.options))
            .await?;
        crate::say(&String::from_utf8_lossy(&bytes));
        return Ok(());
    }
    let mut wanted = Wanted::of(&cx);
    let ignore = cx.flags.on("ignore-not-found") || (wanted.all && !cx.flags.has("ignore-not-found"));
    if wanted.files.is_empty() && !wanted.args.iter().any(|arg| arg.contains('/')) && wanted.args.len() > 1 {
        wanted.all = false;
    }
    if deletion.what == "force deleted" {
        eprintln!(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely."
        );
    }
    delete_all(&cx, &wanted, &deletion, ignore).await
}

async fn delete_all(cx: &Context, wanted: &Wanted, deletion: &Deletion, ignore: bool) -> Result {
    let (mut errors, mut gone, mut found) = (Vec::new(), Vec::new(), 0);
    let by_name = !wanted.args.is_empty();
    let targets = if by_name && wanted.labels.is_empty() && wanted.fields.is_empty() && !wanted.all {
        without_asking(cx, wanted).await?
    } else {
        infos(cx, wanted).await?
    };
    if cx.flags.on("interactive") && !confirmed(&targets)? {
        crate::say("deletion is cancelled\n");
        return Ok(());
    }
    for info in targets {
        let result = match info {
            Ok(info) => {
                deletion.delete(cx, &info).await.map(|answer| (info, answer)).map_err(|error| (error, ()))
            }
            Err(error) => Err((error, ())),
        };
        match result {
            Ok((info, answer)) => {
                found += 1;
                deletion.tell(&info);
                gone.push((info, answer));
            }
            Err((error, ())) if error.is_not_found() && ignore => {}
            Err((error, ())) => errors.push(error),
        }
    }
    if found == 0 && errors.is_empty() && !cx.flags.on("ignore-not-found") {
        crate::say("No resources found\n");
    }
    if deletion.wait {
        for (info, answer) in &gone {
            if let Err(error) = wait_gone(cx, info, answer, deletion.timeout).await {
                errors.push(error);
            }
        }
    }
    Error::all(errors)
}

/// Named objects are deleted by their names alone.
async fn without_asking(cx: &Context, wanted: &Wanted) -> Result<Vec<Result<Info>>> {
    let targets = crate::resources::args::targets(cx, wanted).await?;
    Ok(targets
        .into_iter()
        .map(|target| {
            Ok(match target? {
                crate::resources::Target::File(info) => *info,
                crate::resources::Target::Name { resource, namespace, name } => {
                    Info { resource, namespace, name, object: Value::Null, source: String::new() }
                }
                crate::resources::Target::List { resource, .. } => {
                    return Err(Error::said(format!("{} has no name", resource.plural)));
                }
            })
        })
        .collect())
}

fn confirmed(targets: &[Result<Info>]) -> Result<bool> {
    let mut text = String::from("You are about to delete the following ");
    let infos: Vec<&Info> = targets.iter().filter_map(|info| info.as_ref().ok()).collect();
    text.push_str(&format!("{} resource(s):\n", infos.len()));
    infos.iter().for_each(|info| text.push_str(&format!("{}/{}\n", info.resource.plural, info.name)));
    text.push_str("Do you want to continue? (y/N): ");
    crate::say(&text);
    std::io::stdout().flush().map_err(|error| Error::said(error.to_string()))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| Error::said(error.to_string()))?;
    Ok(matches!(answer.trim(), "y" | "Y"))
}

/// Returns once the object, or its successor under the name, is no longer the one that was deleted.
///
/// # Errors
/// The time is up; the server refuses.
pub async fn wait_gone(cx: &Context, info: &Info, answer: &Value, timeout: Option<Duration>) -> Result {
    let uid = [&answer["metadata"]["uid"], &answer["details"]["uid"], &info.object["metadata"]["uid"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or("")
        .to_owned();
    let waiting = until_gone(cx, info, &uid);
    match timeout {
        None => waiting.await,
        Some(limit) => tokio::time::timeout(limit, waiting).await.map_err(|_| {
            Error::said(format!(
                "timed out waiting for the condition on {}/{}",
                info.resource.plural, info.name
            ))
        })?,
    }
}

async fn until_gone(cx: &Context, info: &Info, uid: &str) -> Result {
    loop {
        let field = format!("metadata.name={}", info.name);
        let collection = info.resource.path(info.namespace.as_deref());
        let list = match cx
            .rest()
            .await?
            .json(&Ask::get(format!("{collection}{}", query(&[("fieldSelector", &field)]))))
            .await
        {
            Ok(list) => list,
            Err(error) if error.is_not_found() => return Ok(()),
            // Who may delete but not list cannot wait.
            Err(error) if error.has_reason("Forbidden") => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_there = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|item| uid.is_empty() || item["metadata"]["uid"] == uid);
        if !is_there {
            return Ok(());
        }
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or("");
        let path = format!(
            "{collection}{}",
            query(&[("fieldSelector", &field), ("resourceVersion", revision), ("watch", "true")])
        );
        let mut watch = Watch::open(cx.rest().await?, &Ask::get(path)).await?;
        // A watch that ends or breaks is started again from a new list.
        while let Ok(Some((kind, object))) = watch.next().await {
            if kind == "DELETED" && (uid.is_empty() || object["metadata"]["uid"] == uid) {
                return Ok(());
            }
        }
    }
}
