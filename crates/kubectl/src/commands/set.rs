//! `kubectl set`: image, env, resources, selector, serviceaccount, subject.
//!
//! Upstream: kubectl/pkg/cmd/set.

use serde_json::{Value, json};

use crate::change::{Changes, DryRun, MERGE, patch_between};
use crate::cli::shared::{ALL, DRY_RUN, FILES, LOCAL, PRINT, RECORD, SELECTOR, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each, infos};

const CONTAINERS: Flag =
    Flag::text("containers", "The containers to change; * matches any text.").short('c').default("*");

macro_rules! flags {
    ($($own:expr),* $(,)?) => {
        &[PRINT, DRY_RUN, FILES, SELECTOR, ALL, LOCAL, RECORD, manager!("kubectl-set"), &[$($own),*]]
    };
}

const IMAGE: Command = Command::new(
    "image",
    "Update the image of a pod template",
    "(-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... CONTAINER_NAME_N=CONTAINER_IMAGE_N",
)
.flags(flags![])
.run(|cx| Box::pin(image(cx)));

const ENV: Command = Command::new(
    "env",
    "Update environment variables on a pod template",
    "RESOURCE/NAME KEY_1=VAL_1 ... KEY_N=VAL_N",
)
.flags(flags![
    CONTAINERS,
    Flag::each("env", "A variable (name=value).").short('e'),
    Flag::text("from", "A config map or secret to take all variables from (configmap/name)."),
    Flag::list("keys", "Only these keys of --from."),
    Flag::switch("list", "Show what is there."),
    Flag::switch("overwrite", "Change values that are there already.").default("true"),
    Flag::text("prefix", "Before the names of --from."),
])
.run(|cx| Box::pin(env(cx)));

const RESOURCES: Command = Command::new(
    "resources",
    "Update resource requests/limits on objects with pod templates",
    "(-f FILENAME | TYPE NAME)  ([--limits=LIMITS & --requests=REQUESTS]",
)
.flags(flags![
    CONTAINERS,
    Flag::text("limits", "Limits (cpu=100m,memory=256Mi)."),
    Flag::text("requests", "Requests (cpu=100m,memory=256Mi).")
])
.run(|cx| Box::pin(amounts(cx)));

const SELECTOR_COMMAND: Command = Command::new(
    "selector",
    "Set the selector on a resource",
    "(-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version]",
)
.flags(&[
    PRINT,
    DRY_RUN,
    FILES,
    ALL,
    LOCAL,
    RECORD,
    manager!("kubectl-set"),
    &[Flag::text("resource-version", "Change only the object of this version.")],
])
.run(|cx| Box::pin(selector(cx)));

const SERVICE_ACCOUNT: Command = Command::new(
    "serviceaccount",
    "Update the service account of a resource",
    "(-f FILENAME | TYPE NAME) SERVICE_ACCOUNT",
)
.aliases(&["sa"])
.flags(&[PRINT, DRY_RUN, FILES, ALL, LOCAL, RECORD, manager!("kubectl-set")])
.run(|cx| Box::pin(service_account(cx)));

const SUBJECT: Command = Command::new("subject", "Update the user, group, or service account in a role binding or cluster role binding", "(-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname]")
    .flags(flags![Flag::each("user", "A user to add."), Flag::each("group", "A group to add."), Flag::each("serviceaccount", "A service account to add (namespace:name).")])
    .run(|cx| Box::pin(subject(cx)));

pub const COMMAND: Command = Command::new("set", "Set specific features on objects", "SUBCOMMAND")
    .commands(&[ENV, IMAGE, RESOURCES, SELECTOR_COMMAND, SERVICE_ACCOUNT, SUBJECT]);

type Pairs = Vec<(String, String)>;

/// Types and names, and the `key=value` words behind them.
fn split(args: &[String]) -> (Vec<String>, Vec<String>) {
    let is_pair = |arg: &String| arg.contains('=') || arg.ends_with('-');
    let first = args.iter().position(is_pair).unwrap_or(args.len());
    (args[..first].to_vec(), args[first..].to_vec())
}

/// The pod spec of an object that has one.
fn pod_spec(object: &mut Value) -> Option<&mut Value> {
    let path: &[&str] = match object["kind"].as_str()? {
        "Pod" => &["spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicationController" => {
            &["spec", "template", "spec"]
        }
        _ => return None,
    };
    path.iter().try_fold(object, |value, name| value.get_mut(*name))
}

/// Changes each object's pod spec, and sends what differs.
async fn change(
    cx: &Context,
    resources: &[String],
    done: &'static str,
    mut edit: impl FnMut(&Info, &mut Value) -> Result,
) -> Result {
    let wanted = Wanted::of(cx).args(resources).latest();
    let mut changes = Changes::of(cx)?;
    for_each(cx, &wanted, async |info| {
        let mut after = info.object.clone();
        let told = info.told();
        let spec = pod_spec(&mut after).ok_or_else(|| {
            Error::said(format!(
                "{told} the object is not a pod or does not have a pod template: {}",
                info.resource.kind
            ))
        })?;
        edit(&info, spec)?;
        send(cx, &mut changes, &wanted, &info, after, done).await
    })
    .await?;
    Ok(())
}

async fn send(
    cx: &Context,
    changes: &mut Changes,
    wanted: &Wanted,
    info: &Info,
    after: Value,
    done: &str,
) -> Result {
    if after == info.object && !wanted.local {
        return Ok(());
    }
    if wanted.local || changes.dry_run == DryRun::Client {
        return changes.tell(&after, done);
    }
    let (kind, patch) = patch_between(info, &info.object, &after);
    let made = changes.patch(cx, info, "", kind, &patch).await.map_err(|error| match error {
        Error::Status(mut status) if status.reason != "Invalid" => {
            status.message = format!("failed to patch {done}: {}", status.message);
            Error::Status(status)
        }
        other => other,
    })?;
    changes.tell(&made, done)
}

async fn image(cx: Context) -> Result {
    let (resources, words) = split(&cx.args);
    let pairs: Pairs = words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    if resources.is_empty() && cx.flags.list("filename").is_empty() {
        return Err(Error::said(crate::resources::args::NOTHING_GIVEN));
    }
    if pairs.is_empty() {
        return Err(Error::said("at least one image update is required"));
    }
    if pairs.len() > 1 && pairs.iter().any(|(name, _)| name == "*") {
        return Err(Error::said(
            "all containers are already specified by *, but saw more than one container_name=container_image pairs",
        ));
    }
    change(&cx, &resources, "image updated", |_, spec| {
        for (name, image) in &pairs {
            let mut found = false;
            for list in ["initContainers", "containers"] {
                for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                    if name == "*" || container["name"] == name.as_str() {
                        container["image"] = image.clone().into();
                        found = true;
                    }
                }
            }
            if !found {
                return Err(Error::said(format!("unable to find container named {name:?}")));
            }
        }
        Ok(())
    })
    .await
}

/// The containers whose names fit, the ordinary ones first.
fn chosen<'a>(spec: &'a mut Value, pattern: &str) -> Vec<&'a mut Value> {
    let expression = format!("^{}$", regex::escape(pattern).replace("\\*", ".*"));
    // An escaped text with stars is a regular expression.
    let Ok(regex) = regex::Regex::new(&expression) else { return Vec::new() };
    let list = spec.get_mut("containers").and_then(Value::as_array_mut);
    list.into_iter()
        .flatten()
        .filter(|container| regex.is_match(container["name"].as_str().unwrap_or("")))
        .collect()
}

async fn env(cx: Context) -> Result {
    let (resources, mut words) = split(&cx.args);
    words.extend(cx.flags.list("env"));
    if cx.flags.on("list") {
        return list_env(&cx, &resources).await;
    }
    let mut set: Vec<Value> = Vec::new();
    let mut remove = Vec::new();
    for word in &words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((name, value)), _) => set.push(json!({"name": name, "value": value})),
            (None, Some(name)) => remove.push(name.to_owned()),
            (None, None) => {
                return Err(Error::said(format!(
                    "environment variables must be of the form key=value, but is: {word:?}"
                )));
            }
        }
    }
    set.extend(from(&cx).await?);
    if set.is_empty() && remove.is_empty() {
        return Err(Error::said("at least one environment variable must be provided"));
    }
    let (overwrite, pattern) = (cx.flags.on("overwrite"), cx.flags.text("containers").to_owned());
    change(&cx, &resources, "env updated", |info, spec| {
        let all = chosen(spec, &pattern);
        if all.is_empty() {
            eprintln!("warning: {} does not have any containers matching {pattern:?}", info.told());
        }
        for container in all {
            update_env(container, &set, &remove, overwrite)?;
        }
        Ok(())
    })
    .await
}

fn update_env(container: &mut Value, set: &[Value], remove: &[String], overwrite: bool) -> Result {
    let mut list = container["env"].as_array().cloned().unwrap_or_default();
    for variable in set {
        match list.iter_mut().find(|known| known["name"] == variable["name"]) {
            Some(known) if !overwrite => {
                let (name, value) =
                    (known["name"].as_str().unwrap_or(""), known["value"].as_str().unwrap_or(""));
                return Err(Error::said(format!(
                    "'{name}' already has a value ({value}), and --overwrite is false"
                )));
            }
            Some(known) => *known = variable.clone(),
            None => list.push(variable.clone()),
        }
    }
    list.retain(|known| !remove.iter().any(|name| known["name"] == name.as_str()));
    match (list.is_empty(), container.as_object_mut()) {
        (true, Some(map)) => {
            map.remove("env");
        }
        _ => container["env"] = Value::Array(list),
    }
    Ok(())
}

/// Variables of a config map or secret.
async fn from(cx: &Context) -> Result<Vec<Value>> {
    let source = cx.flags.text("from");
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = Wanted { args: vec![source.to_owned()], ..Wanted::default() };
    let mut all = Vec::new();
    for info in infos(cx, &wanted).await? {
        let info = info?;
        let field = match info.resource.kind.as_str() {
            "ConfigMap" => "configMapKeyRef",
            "Secret" => "secretKeyRef",
            other => return Err(Error::said(format!("unsupported resource specified in --from: {other}"))),
        };
        let keys = cx.flags.list("keys");
        for key in info.object["data"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
            .filter(|key| keys.is_empty() || keys.contains(key))
        {
            let upper: String =
                key.to_uppercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let name = format!("{}{upper}", cx.flags.text("prefix"));
            all.push(json!({"name": name, "valueFrom": {field: {"name": info.name, "key": key}}}));
        }
    }
    Ok(all)
}

async fn list_env(cx: &Context, resources: &[String]) -> Result {
    let pattern = cx.flags.text("containers").to_owned();
    for_each(cx, &Wanted::of(cx).args(resources).latest(), async |info| {
        let mut object = info.object.clone();
        let spec = pod_spec(&mut object)
            .ok_or_else(|| Error::said(format!("{} has no pod template", info.told())))?;
        let mut text = String::new();
        for container in chosen(spec, &pattern) {
            text.push_str(&format!(
                "# {} {}, container {}\n",
                info.resource.kind,
                info.name,
                container["name"].as_str().unwrap_or("")
            ));
            for variable in container["env"].as_array().into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or("");
                let from = &variable["valueFrom"];
                match [("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")]
                    .iter()
                    .find(|(field, _)| from[*field].is_object())
                {
                    Some((field, kind)) => text.push_str(&format!(
                        "# {name} from {kind} {}, key {}\n",
                        from[*field]["name"].as_str().unwrap_or(""),
                        from[*field]["key"].as_str().unwrap_or("")
                    )),
                    None => text.push_str(&format!("{name}={}\n", variable["value"].as_str().unwrap_or(""))),
                }
            }
        }
        crate::say(&text);
        Ok(())
    })
    .await?;
    Ok(())
}

async fn amounts(cx: Context) -> Result {
    let read = |text: &str| -> Result<Pairs> {
        text.split(',')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, amount) = pair.split_once('=').ok_or_else(|| {
                    Error::said(format!("invalid argument syntax {pair}, expected <resource>=<value>"))
                })?;
                Ok((name.to_owned(), amount.to_owned()))
            })
            .collect()
    };
    let (limits, requests) = (read(cx.flags.text("limits"))?, read(cx.flags.text("requests"))?);
    if limits.is_empty() && requests.is_empty() {
        return Err(Error::said(
            "you must specify an update to requests or limits (in the form of --requests/--limits)",
        ));
    }
    let pattern = cx.flags.text("containers").to_owned();
    change(&cx, &cx.args, "resource requirements updated", |_, spec| {
        for container in chosen(spec, &pattern) {
            for (field, pairs) in [("limits", &limits), ("requests", &requests)] {
                for (name, amount) in pairs {
                    container["resources"][field][name] = amount.clone().into();
                }
            }
        }
        Ok(())
    })
    .await
}

async fn service_account(cx: Context) -> Result {
    let Some((account, resources)) = cx.args.split_last() else {
        return Err(Error::said("serviceaccount is required"));
    };
    change(&cx, resources, "serviceaccount updated", |_, spec| {
        spec["serviceAccountName"] = account.clone().into();
        spec["serviceAccount"] = account.clone().into();
        Ok(())
    })
    .await
}

async fn selector(cx: Context) -> Result {
    let (resources, words) = split(&cx.args);
    if words.is_empty() {
        return Err(Error::said("one or more selectors are required"));
    }
    let mut map = json!({});
    for pair in words.iter().flat_map(|word| word.split(',')) {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Error::said(format!("invalid selector {pair:?}")))?;
        map[name] = value.into();
    }
    let mut changes = Changes::of(&cx)?;
    let (cx, wanted) = (&cx, Wanted::of(&cx).args(&resources).latest());
    for_each(cx, &wanted, async |info| {
        if info.resource.kind != "Service" {
            return Err(Error::said("setting a selector is only supported for Services"));
        }
        let mut after = info.object.clone();
        after["spec"]["selector"] = map.clone();
        if wanted.local || changes.dry_run == DryRun::Client {
            return changes.tell(&after, "selector updated");
        }
        let mut patch = json!({"spec": {"selector": map}});
        for name in info.object["spec"]["selector"].as_object().into_iter().flatten().map(|(name, _)| name) {
            if map.get(name).is_none() {
                patch["spec"]["selector"][name] = Value::Null;
            }
        }
        let made = changes.patch(cx, &info, "", MERGE, &patch).await?;
        changes.tell(&made, "selector updated")
    })
    .await?;
    Ok(())
}

async fn subject(cx: Context) -> Result {
    let added = super::create::subjects(&cx)?;
    if added.is_empty() {
        return Err(Error::said("you must specify at least one value of user, group or serviceaccount"));
    }
    let mut changes = Changes::of(&cx)?;
    let (cx, wanted) = (&cx, Wanted::of(&cx).latest());
    for_each(cx, &wanted, async |info| {
        if !info.resource.kind.ends_with("RoleBinding") {
            return Err(Error::said("setting subject is only supported for RoleBinding/ClusterRoleBinding"));
        }
        let mut after = info.object.clone();
        let mut list = after["subjects"].as_array().cloned().unwrap_or_default();
        list.extend(added.iter().filter(|subject| !list.contains(subject)).cloned().collect::<Vec<_>>());
        after["subjects"] = Value::Array(list);
        send(cx, &mut changes, &wanted, &info, after, "subjects updated").await
    })
    .await?;
    Ok(())
}
