//! `kubectl cordon`, `uncordon`, `drain`, `taint`.
//!
//! Upstream: kubectl/pkg/drain, kubectl/pkg/cmd/taint.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::delete::wait_gone;
use crate::change::{Changes, DryRun, STRATEGIC};
use crate::cli::shared::{ALL, CHUNK, DRY_RUN, PRINT, SELECTOR, VALIDATE, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, infos, list_all};
use crate::rest::Ask;

pub const CORDON: Command = Command::new("cordon", "Mark node as unschedulable", "NODE")
    .flags(&[DRY_RUN, SELECTOR])
    .run(|cx| Box::pin(cordon(cx, true)));
pub const UNCORDON: Command = Command::new("uncordon", "Mark node as schedulable", "NODE")
    .flags(&[DRY_RUN, SELECTOR])
    .run(|cx| Box::pin(cordon(cx, false)));

pub const DRAIN: Command = Command::new("drain", "Drain node in preparation for maintenance", "NODE")
    .flags(&[
        DRY_RUN,
        SELECTOR,
        CHUNK,
        &[
            Flag::switch("delete-emptydir-data", "Go on where pods keep data in emptyDir, which is lost."),
            Flag::switch("disable-eviction", "Delete in place of evicting: budgets are not asked."),
            Flag::switch("force", "Also pods that nobody makes anew."),
            Flag::int("grace-period", "-1", "Seconds for a graceful end; below 0 the pod's own."),
            Flag::switch("ignore-daemonsets", "Leave pods of daemon sets."),
            Flag::text("pod-selector", "Only pods with these labels."),
            Flag::int(
                "skip-wait-for-delete-timeout",
                "0",
                "Do not wait for pods that have been ending for so many seconds.",
            ),
            Flag::duration("timeout", "0s", "Longest wait; 0 is no limit."),
        ],
    ])
    .run(|cx| Box::pin(drain(cx)));

pub const TAINT: Command = Command::new(
    "taint",
    "Update the taints on one or more nodes",
    "NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N",
)
.flags(&[
    PRINT,
    DRY_RUN,
    SELECTOR,
    ALL,
    VALIDATE,
    manager!("kubectl-taint"),
    &[Flag::switch("overwrite", "Change taints that are there already.")],
])
.run(|cx| Box::pin(taint(cx)));

async fn nodes(cx: &Context) -> Result<Vec<Info>> {
    let name = cx.path.rsplit(' ').next().unwrap_or("");
    if cx.args.is_empty() && cx.flags.text("selector").is_empty() {
        return Err(cx.usage(format!("USAGE: {name} NODE [flags]")));
    }
    if !cx.args.is_empty() && !cx.flags.text("selector").is_empty() {
        return Err(cx.usage("error: cannot specify both a node name and a --selector option"));
    }
    let mut args = vec!["nodes".to_owned()];
    args.extend(
        cx.args.iter().map(|arg| arg.trim_start_matches("nodes/").trim_start_matches("node/").to_owned()),
    );
    let wanted = Wanted { args, labels: cx.flags.text("selector").to_owned(), ..Wanted::default() };
    infos(cx, &wanted).await?.into_iter().collect()
}

async fn cordon(cx: Context, is_on: bool) -> Result {
    let mut changes = Changes::of(&cx)?;
    for node in nodes(&cx).await? {
        mark(&cx, &mut changes, &node, is_on).await?;
    }
    Ok(())
}

async fn mark(cx: &Context, changes: &mut Changes, node: &Info, is_on: bool) -> Result {
    let word = if is_on { "cordoned" } else { "uncordoned" };
    if (node.object["spec"]["unschedulable"] == true) == is_on {
        return changes.tell(&node.object, &format!("already {word}"));
    }
    if changes.dry_run != DryRun::Client {
        let patch = json!({"spec": {"unschedulable": if is_on { Value::from(true) } else { Value::Null }}});
        changes.patch(cx, node, "", STRATEGIC, &patch).await?;
    }
    changes.tell(&node.object, word)
}

async fn drain(cx: Context) -> Result {
    let mut changes = Changes::of(&cx)?;
    let nodes = nodes(&cx).await?;
    for node in &nodes {
        mark(&cx, &mut changes, node, true).await?;
    }
    for node in &nodes {
        empty(&cx, node, changes.dry_run).await?;
        changes.tell(&node.object, "drained")?;
    }
    Ok(())
}

/// Why pods stand in the way, and what is done about those that do not.
#[derive(Default)]
struct Sorted {
    go: Vec<Info>,
    unmanaged: Vec<String>,
    with_data: Vec<String>,
    daemons: Vec<String>,
    warned: Vec<String>,
}

async fn empty(cx: &Context, node: &Info, dry_run: DryRun) -> Result {
    let wanted = Wanted {
        fields: format!("spec.nodeName={}", node.name),
        labels: cx.flags.text("pod-selector").to_owned(),
        ..Wanted::default()
    };
    let pods = list_all(cx, &cx.resource("pods").await?, None, &wanted).await?;
    let sorted = sort(cx, pods);
    refuse(node, &sorted)?;
    if !sorted.warned.is_empty() {
        eprintln!("Warning: {}", sorted.warned.join("; "));
    }
    let limit = cx.flags.duration("timeout");
    let end = (!limit.is_zero()).then(|| tokio::time::Instant::now() + limit);
    let removing = futures::future::join_all(sorted.go.iter().map(|pod| remove(cx, pod, dry_run)));
    let results = match end {
        None => removing.await,
        Some(end) => tokio::time::timeout_at(end, removing).await.map_err(|_| {
            Error::said(format!("unable to drain node {:?} due to error: drain did not complete within {}s, continuing command...", node.name, limit.as_secs()))
        })?,
    };
    let errors: Vec<Error> = results.into_iter().filter_map(std::result::Result::err).collect();
    Error::all(errors)
}

fn sort(cx: &Context, pods: Vec<Info>) -> Sorted {
    let mut sorted = Sorted::default();
    let (force, data) = (cx.flags.on("force"), cx.flags.on("delete-emptydir-data"));
    let (mut ignored, mut forced) = (Vec::new(), Vec::new());
    for pod in pods {
        let object = &pod.object;
        let told = format!("{}/{}", pod.namespace.as_deref().unwrap_or(""), pod.name);
        let owner = object["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|owner| owner["controller"] == true);
        let is_done = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if object["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some() {
            continue;
        }
        if owner.is_some_and(|owner| owner["kind"] == "DaemonSet") && !is_done {
            if cx.flags.on("ignore-daemonsets") {
                ignored.push(told)
            } else {
                sorted.daemons.push(told)
            }
            continue;
        }
        let has_data = object["spec"]["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|volume| volume["emptyDir"].is_object());
        if has_data && !is_done && !data {
            sorted.with_data.push(told);
            continue;
        }
        if owner.is_none() && !is_done {
            if !force {
                sorted.unmanaged.push(told);
                continue;
            }
            forced.push(told);
        }
        sorted.go.push(pod);
    }
    if !ignored.is_empty() {
        sorted.warned.push(format!("ignoring DaemonSet-managed Pods: {}", ignored.join(", ")));
    }
    if !forced.is_empty() {
        sorted.warned.insert(0, format!("deleting Pods that declare no controller: {}", forced.join(", ")));
    }
    sorted
}

fn refuse(node: &Info, sorted: &Sorted) -> Result {
    let mut reasons = Vec::new();
    if !sorted.unmanaged.is_empty() {
        reasons.push(format!(
            "cannot delete Pods that declare no controller (use --force to override): {}",
            sorted.unmanaged.join(", ")
        ));
    }
    if !sorted.daemons.is_empty() {
        reasons.push(format!(
            "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): {}",
            sorted.daemons.join(", ")
        ));
    }
    if !sorted.with_data.is_empty() {
        reasons.push(format!(
            "cannot delete Pods with local storage (use --delete-emptydir-data to override): {}",
            sorted.with_data.join(", ")
        ));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let told = if reasons.len() == 1 { reasons.remove(0) } else { format!("[{}]", reasons.join(", ")) };
    let list = std::slice::from_ref(&node.name);
    eprintln!("error: unable to drain node {:?} due to error: {told}, continuing command...", node.name);
    Err(Error::Plain(
        format!(
            "There are pending nodes to be drained:\n {}\n{}",
            list.join("\n "),
            told.trim_matches(['[', ']']).replacen("error: ", "", 1)
        )
        .lines()
        .enumerate()
        .map(|(at, line)| if at == 2 { format!("error: {line}") } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n"),
    ))
}

async fn remove(cx: &Context, pod: &Info, dry_run: DryRun) -> Result {
    let evicts = !cx.flags.on("disable-eviction");
    let told = format!("{}/{}", pod.namespace.as_deref().unwrap_or(""), pod.name);
    crate::say(&format!("{} pod {told}\n", if evicts { "evicting" } else { "deleting" }));
    if dry_run != DryRun::No {
        return Ok(());
    }
    let mut options = json!({});
    if cx.flags.int("grace-period") >= 0 {
        options["gracePeriodSeconds"] = cx.flags.int("grace-period").into();
    }
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name, "namespace": pod.namespace}, "deleteOptions": options});
    loop {
        let ask = if evicts {
            Ask::with(Method::POST, format!("{}/eviction", pod.path()), &eviction)
        } else {
            Ask::with(Method::DELETE, pod.path(), &options)
        };
        match cx.rest().await?.json(&ask).await {
            Ok(_) => break,
            Err(error) if error.is_not_found() => break,
            // A budget allows none now; it may soon.
            Err(error) if error.has_reason("TooManyRequests") => {
                eprintln!(
                    "error when evicting pods/{:?} -n {:?} (will retry after 5s): {error}",
                    pod.name,
                    pod.namespace.as_deref().unwrap_or("")
                );
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Err(error) => return Err(error),
        }
    }
    wait_gone(cx, pod, &Value::Null, None).await?;
    crate::say(&format!("pod/{} {}\n", pod.name, if evicts { "evicted" } else { "deleted" }));
    Ok(())
}

/// One taint to set, or to remove.
struct Taint {
    key: String,
    value: String,
    effect: String,
}

fn read(text: &str) -> Result<(Taint, bool)> {
    let (text, removes) = text.strip_suffix('-').map_or((text, false), |text| (text, true));
    let (pair, effect) = text.split_once(':').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if !removes && !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(Error::said(format!("invalid taint effect: {effect}, unsupported taint effect")));
    }
    Ok((Taint { key: key.into(), value: value.into(), effect: effect.into() }, removes))
}

async fn taint(cx: Context) -> Result {
    let first = cx
        .args
        .iter()
        .position(|arg| arg.contains(['=', ':']) || arg.ends_with('-'))
        .unwrap_or(cx.args.len());
    let (resources, specs) = cx.args.split_at(first);
    if resources.is_empty()
        || (resources.len() < 2 && !cx.flags.on("all") && cx.flags.text("selector").is_empty())
    {
        return Err(Error::said("one or more resources must be specified as <resource> <name>"));
    }
    if specs.is_empty() {
        return Err(Error::said("at least one taint update is required"));
    }
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    for spec in specs {
        let (taint, removes) = read(spec)?;
        if removes { remove.push(taint) } else { set.push(taint) }
    }
    let mut changes = Changes::of(&cx)?;
    let overwrite = cx.flags.on("overwrite");
    let (cx, wanted) = (&cx, Wanted::of(&cx).args(resources));
    crate::resources::for_each(cx, &wanted, async |node| {
        let mut taints = node.object["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let fits = |known: &Value, taint: &Taint| {
            known["key"] == taint.key.as_str()
                && (taint.effect.is_empty() || known["effect"] == taint.effect.as_str())
        };
        if !overwrite && set.iter().any(|taint| taints.iter().any(|known| fits(known, taint))) {
            return Err(Error::said(format!(
                "node {} already has a taint(s) with same effect(s) and --overwrite is false",
                node.name
            )));
        }
        for taint in &remove {
            if !taints.iter().any(|known| fits(known, taint)) {
                return Err(Error::said(format!(
                    "taint {:?} not found",
                    if taint.effect.is_empty() {
                        taint.key.clone()
                    } else {
                        format!("{}:{}", taint.key, taint.effect)
                    }
                )));
            }
        }
        taints.retain(|known| !remove.iter().chain(&set).any(|taint| fits(known, taint)));
        for taint in set.iter().rev() {
            let mut value = json!({"key": taint.key, "effect": taint.effect});
            if !taint.value.is_empty() {
                value["value"] = taint.value.clone().into();
            }
            taints.insert(0, value);
        }
        let patch =
            json!({"spec": {"taints": if taints.is_empty() { Value::Null } else { Value::Array(taints) }}});
        let done = match (set.is_empty(), remove.is_empty()) {
            (true, _) => "untainted",
            (false, true) => "tainted",
            (false, false) => "modified",
        };
        let made = if changes.dry_run == DryRun::Client {
            node.object.clone()
        } else {
            changes.patch(cx, &node, "", crate::change::MERGE, &patch).await?
        };
        changes.tell(&made, done)
    })
    .await?;
    Ok(())
}
