//! `kubectl wait`: until objects are as asked.
//!
//! Upstream: kubectl/pkg/cmd/wait.

use std::time::Duration;

use serde_json::Value;

use crate::change::Changes;
use crate::cli::shared::{ALL, ALL_NAMESPACES, FIELD_SELECTOR, FILES, LOCAL, PRINT, SELECTOR};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::print::jsonpath::JsonPath;
use crate::resources::{Info, Target, Wanted, args, infos};
use crate::rest::Ask;
use crate::text::query;
use crate::watch::Watch;

pub const COMMAND: Command = Command::new(
    "wait",
    "Wait for a specific condition on one or many resources",
    "([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) [--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]]",
)
.examples("# A pod is ready\nkubectl wait --for=condition=Ready pod/web-1 --timeout=60s\n\n# It is gone\nkubectl wait --for=delete pod/web-1")
.flags(&[
    PRINT,
    FILES,
    SELECTOR,
    FIELD_SELECTOR,
    ALL,
    ALL_NAMESPACES,
    LOCAL,
    &[
        Flag::each("for", "create, delete, condition=NAME[=STATUS], jsonpath='{PATH}'[=VALUE]."),
        Flag::duration("timeout", "30s", "Longest wait for each; 0 looks once, below 0 waits for a week."),
    ],
])
.run(|cx| Box::pin(run(cx)));

enum Goal {
    Create,
    Delete,
    Condition { name: String, status: String },
    Path { path: JsonPath, value: Option<String> },
}

impl Goal {
    fn read(text: &str) -> Result<Self> {
        let unknown = || Error::said(format!("unrecognized condition: {text:?}"));
        let lower = text.to_lowercase();
        if lower == "delete" {
            return Ok(Self::Delete);
        }
        if lower == "create" {
            return Ok(Self::Create);
        }
        if let Some(condition) = text.strip_prefix("condition=") {
            let (name, status) = condition.split_once('=').unwrap_or((condition, "true"));
            return Ok(Self::Condition { name: name.to_owned(), status: status.to_owned() });
        }
        let Some(rest) = text.strip_prefix("jsonpath=") else { return Err(unknown()) };
        let (path, value) = match rest.rfind("}=") {
            Some(at) => (&rest[..=at], Some(rest[at + 2..].trim_matches(['\'', '"']).to_owned())),
            None if rest.starts_with('{') => (rest, None),
            None => match rest.split_once('=') {
                Some((path, value)) => (path, Some(value.to_owned())),
                None => (rest, None),
            },
        };
        if value.as_deref() == Some("") {
            return Err(Error::said(
                "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3",
            ));
        }
        let path = JsonPath::parse_relaxed(path.trim_matches('\'')).map_err(Error::Said)?;
        Ok(Self::Path { path, value })
    }

    fn is_reached(&self, object: &Value) -> Result<bool> {
        match self {
            Self::Create => Ok(true),
            Self::Delete => Ok(false),
            Self::Condition { name, status } => Ok(has_condition(object, name, status)),
            Self::Path { path, value } => {
                // What is not there yet may come.
                let found = path.values(object, true).unwrap_or_default();
                match (value, found.as_slice()) {
                    (None, found) => Ok(!found.is_empty()),
                    (Some(_), []) => Ok(false),
                    (Some(value), [one]) if !one.is_object() && !one.is_array() => {
                        Ok(crate::print::json::go_plain(one) == value.trim())
                    }
                    (Some(_), [_]) => Err(Error::said("jsonpath leads to a nested object or list")),
                    (Some(_), _) => Err(Error::said("given jsonpath expression matches more than one list")),
                }
            }
        }
    }
}

fn has_condition(object: &Value, name: &str, status: &str) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.find(|c| c["type"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name)));
    let Some(condition) = found else { return false };
    // A condition of an older generation says nothing about this one.
    let generation = object["metadata"]["generation"].as_i64();
    if let (Some(generation), Some(observed)) = (
        generation,
        condition["observedGeneration"].as_i64().or(object["status"]["observedGeneration"].as_i64()),
    ) && observed < generation
    {
        return false;
    }
    condition["status"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(status))
}

async fn run(cx: Context) -> Result {
    let texts = cx.flags.list("for");
    if texts.is_empty() {
        return Err(Error::said("unrecognized condition: []"));
    }
    let goals: Result<Vec<Goal>> = texts.iter().map(|text| Goal::read(text)).collect();
    let seconds = cx.flags.seconds("timeout");
    let limit =
        if seconds < 0.0 { Duration::from_secs(7 * 24 * 3600) } else { Duration::from_secs_f64(seconds) };
    let mut changes = Changes::of(&cx)?;
    let wanted = Wanted::of(&cx).latest();
    for goal in goals? {
        one_goal(&cx, &wanted, &goal, limit, &mut changes).await?;
    }
    Ok(())
}

async fn one_goal(
    cx: &Context,
    wanted: &Wanted,
    goal: &Goal,
    limit: Duration,
    changes: &mut Changes,
) -> Result {
    let end = tokio::time::Instant::now() + limit;
    if matches!(goal, Goal::Create) {
        wait_for_creation(cx, wanted, end).await?;
    }
    let found = infos(cx, wanted).await?;
    if found.is_empty() {
        return if matches!(goal, Goal::Delete) {
            Ok(())
        } else {
            Err(Error::said("no matching resources found"))
        };
    }
    let mut errors = Vec::new();
    for info in found {
        let info = match info {
            Ok(info) => info,
            Err(error) if error.is_not_found() && matches!(goal, Goal::Delete) => continue,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        match reach(cx, &info, goal, end).await {
            Ok(object) => {
                changes.tell(&object, "condition met")?;
            }
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)
}

/// Named objects are waited for until all are there.
async fn wait_for_creation(cx: &Context, wanted: &Wanted, end: tokio::time::Instant) -> Result {
    for target in args::targets(cx, wanted).await? {
        let Target::Name { resource, namespace, name } = target? else { continue };
        let field = format!("metadata.name={name}");
        let path =
            resource.path(namespace.as_deref()) + &query(&[("fieldSelector", &field), ("watch", "true")]);
        let watching = async {
            loop {
                let mut watch = Watch::open(cx.rest().await?, &Ask::get(path.clone())).await?;
                while let Some((kind, _)) = watch.next().await? {
                    if kind == "ADDED" || kind == "MODIFIED" {
                        return Ok::<(), Error>(());
                    }
                }
            }
        };
        let waited = tokio::time::timeout_at(end, watching).await;
        waited.map_err(|_| {
            Error::said(format!("timed out waiting for the condition on {}/{name}", resource.plural))
        })??;
    }
    Ok(())
}

async fn reach(cx: &Context, info: &Info, goal: &Goal, end: tokio::time::Instant) -> Result<Value> {
    let mut errors = None;
    match goal.is_reached(&info.object) {
        Ok(true) => return Ok(info.object.clone()),
        Ok(false) => {}
        Err(error) => errors = Some(error),
    }
    let timed_out = || {
        Error::said(format!("timed out waiting for the condition on {}/{}", info.resource.plural, info.name))
    };
    if let Some(error) = errors {
        return Err(error);
    }
    tokio::time::timeout_at(end, follow(cx, info, goal)).await.map_err(|_| timed_out())?
}

async fn follow(cx: &Context, info: &Info, goal: &Goal) -> Result<Value> {
    let field = format!("metadata.name={}", info.name);
    let collection = info.resource.path(info.namespace.as_deref());
    let uid = &info.object["metadata"]["uid"];
    loop {
        let list = cx
            .rest()
            .await?
            .json(&Ask::get(format!("{collection}{}", query(&[("fieldSelector", &field)]))))
            .await?;
        let item = list["items"].as_array().and_then(|items| items.first()).cloned();
        match (item, goal) {
            (None, Goal::Delete) => return Ok(info.object.clone()),
            (Some(item), Goal::Delete) if item["metadata"]["uid"] != *uid => return Ok(info.object.clone()),
            (Some(mut item), _) if goal.is_reached(&item)? => {
                item["kind"] = info.resource.kind.clone().into();
                item["apiVersion"] = info.resource.api_version().into();
                return Ok(item);
            }
            _ => {}
        }
        let revision = list["metadata"]["resourceVersion"].as_str().unwrap_or("");
        let path = format!(
            "{collection}{}",
            query(&[("fieldSelector", &field), ("resourceVersion", revision), ("watch", "true")])
        );
        let mut watch = Watch::open(cx.rest().await?, &Ask::get(path)).await?;
        // A watch that ends or breaks is started again from a new list.
        while let Ok(Some((kind, object))) = watch.next().await {
            match (kind.as_str(), goal) {
                ("DELETED", Goal::Delete) => return Ok(info.object.clone()),
                ("DELETED", _) => break,
                _ if goal.is_reached(&object)? => return Ok(object),
                _ => {}
            }
        }
    }
}
