//! `kubectl run`: one pod from an image.

use serde_json::{Value, json};

use crate::change::{Changes, DryRun, save_config};
use crate::cli::shared::{DRY_RUN, PRINT, SAVE_CONFIG, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::pods::{Quiet, container_of, pod_of};
use crate::resources::Info;
use crate::session::Session;
use crate::watch::until;

pub const COMMAND: Command = Command::new(
    "run",
    "Run a particular image on the cluster",
    "NAME --image=image [--env=\"key=value\"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...]",
)
.examples("# A pod\nkubectl run web --image=nginx\n\n# A shell that is gone afterwards\nkubectl run -it --rm probe --image=busybox --restart=Never -- sh")
.flags(&[
    PRINT,
    DRY_RUN,
    SAVE_CONFIG,
    manager!("kubectl-run"),
    &[
        Flag::each("annotations", "An annotation of the pod (key=value)."),
        Flag::switch("attach", "Attach to the pod once it runs."),
        Flag::switch("command", "What stands behind -- is the command, and not its arguments."),
        Flag::text("detach-keys", "Taken for compatibility.").default("ctrl-p,ctrl-q"),
        Flag::each("env", "An environment variable (key=value)."),
        Flag::switch("expose", "Also a service; needs --port. Not built yet."),
        Flag::text("image", "The image."),
        Flag::text("image-pull-policy", "Always, IfNotPresent or Never."),
        Flag::text("labels", "Labels of the pod (a=b,c=d).").short('l'),
        Flag::switch("leave-stdin-open", "Let the container go on after the first session."),
        Flag::text("override-type", "How --overrides are merged: json, merge, or strategic.").default("merge"),
        Flag::text("overrides", "A JSON object that is merged into the pod."),
        Flag::duration("pod-running-timeout", "1m0s", "Longest wait for the pod when attaching."),
        Flag::text("port", "The port that the container opens."),
        Flag::switch("privileged", "A container with all rights."),
        Flag::switch("quiet", "Only what the command prints.").short('q'),
        Flag::text("restart", "Always, OnFailure or Never.").default("Always"),
        Flag::switch("rm", "Delete the pod after the session."),
        Flag::switch("stdin", "Keep standard input open.").short('i'),
        Flag::switch("tty", "Give the container a terminal.").short('t'),
    ],
])
.run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    let flags = &cx.flags;
    if !flags.has("image") {
        return Err(Error::said("required flag(s) \"image\" not set"));
    }
    let before = cx.dash.unwrap_or(cx.args.len());
    let Some(name) = cx.args[..before].first() else { return Err(cx.usage("NAME is required for run")) };
    if flags.on("expose") {
        return Err(Error::said("--expose is not built yet: use kubectl expose"));
    }
    let attaches = flags.on("attach") || flags.on("stdin") || flags.on("tty");
    let mut changes = Changes::of(&cx)?;
    if attaches && changes.dry_run != DryRun::No {
        return Err(cx.usage("--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"));
    }
    if flags.on("rm") && !attaches {
        return Err(Error::said("--rm should only be used for attached containers"));
    }
    if flags.on("tty") && !flags.on("stdin") {
        return Err(cx.usage("--stdin is required for containers with -t/--tty=true"));
    }
    let mut object = overridden(&cx, pod(&cx, name)?)?;
    let resource = cx.resource("pods").await?;
    let namespace = cx.namespace().await?.to_owned();
    if changes.dry_run != DryRun::Client || cx.access().await?.namespace_is_given {
        object["metadata"]["namespace"] = namespace.clone().into();
    }
    if flags.on("save-config") {
        save_config(&mut object);
    }
    let info =
        Info { resource, namespace: Some(namespace), name: name.clone(), object, source: String::new() };
    let made = changes.create(&cx, &info).await?;
    if !attaches {
        return changes.tell(&made, "created");
    }
    let result = attach(&cx, &info).await;
    if flags.on("rm") {
        let ask = crate::rest::Ask::with(
            http::Method::DELETE,
            info.path(),
            &json!({"propagationPolicy": "Background"}),
        );
        cx.rest().await?.json(&ask).await?;
        if !flags.on("quiet") {
            crate::say(&format!(
                "pod {:?} deleted from {} namespace\n",
                info.name,
                info.namespace.as_deref().unwrap_or("")
            ));
        }
    }
    result
}

fn pod(cx: &Context, name: &str) -> Result<Value> {
    let flags = &cx.flags;
    let restart = flags.text("restart");
    if !matches!(restart, "Always" | "OnFailure" | "Never") {
        return Err(Error::said(format!("invalid restart policy: {restart}")));
    }
    let words = super::create::command_words(cx);
    let words = if words.is_empty() { cx.args[1..].to_vec() } else { words };
    let mut container = json!({"name": name, "image": flags.text("image"), "resources": {}});
    if !words.is_empty() {
        container[if flags.on("command") { "command" } else { "args" }] = json!(words);
    }
    let mut env = Vec::new();
    for pair in flags.list("env") {
        let (key, value) = pair.split_once('=').ok_or_else(|| Error::said(format!("invalid env: {pair}")))?;
        env.push(json!({"name": key, "value": value}));
    }
    if !env.is_empty() {
        container["env"] = Value::Array(env);
    }
    if !flags.text("port").is_empty() {
        let port: u16 = flags.text("port").parse().map_err(|_| {
            Error::said(format!("strconv.Atoi: parsing {:?}: invalid syntax", flags.text("port")))
        })?;
        container["ports"] = json!([{"containerPort": port}]);
    }
    for (flag, field) in [("stdin", "stdin"), ("tty", "tty")] {
        if flags.on(flag) {
            container[field] = true.into();
        }
    }
    if flags.on("stdin") && !flags.on("leave-stdin-open") {
        container["stdinOnce"] = true.into();
    }
    if !flags.text("image-pull-policy").is_empty() {
        container["imagePullPolicy"] = flags.text("image-pull-policy").into();
    }
    if flags.on("privileged") {
        container["securityContext"] = json!({"privileged": true});
    }
    let labels = match flags.text("labels") {
        "" => json!({"run": name}),
        labels => super::create::pairs(&labels.split(',').map(str::to_owned).collect::<Vec<_>>())?,
    };
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": restart}, "status": {},
    });
    if !flags.list("annotations").is_empty() {
        object["metadata"]["annotations"] = super::create::pairs(&flags.list("annotations"))?;
    }
    Ok(object)
}

fn overridden(cx: &Context, mut object: Value) -> Result<Value> {
    let overrides = cx.flags.text("overrides");
    if overrides.is_empty() {
        return Ok(object);
    }
    let patch = api::codec::yaml_tree(overrides)
        .map_err(|error| Error::said(error.to_string()))?
        .0
        .to_string()
        .into_bytes();
    let result = match cx.flags.text("override-type") {
        "json" => api::patch::json(&mut object, &patch),
        "strategic" => match api::Schema::builtin().kind("", "v1", "Pod") {
            Some(owner) => api::patch::strategic(owner, &mut object, &patch),
            None => Ok(()),
        },
        "merge" => api::patch::merge(&mut object, &patch),
        other => return Err(Error::said(format!("invalid override type: {other}"))),
    };
    result.map_err(|error| Error::said(error.to_string()))?;
    Ok(object)
}

async fn attach(cx: &Context, info: &Info) -> Result {
    let end = tokio::time::Instant::now() + cx.flags.duration("pod-running-timeout");
    let ended =
        |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Running" | "Succeeded" | "Failed"));
    let pod = pod_of(cx, &info.name, std::time::Duration::ZERO).await?;
    let pod = Info { object: until(cx, &pod, end, ended).await?, ..pod };
    let container = container_of(&pod, "", Quiet::Yes)?;
    if pod.object["status"]["phase"] != "Running" {
        let path = format!("{}/log?container={container}", pod.path());
        crate::say(&String::from_utf8_lossy(&cx.rest().await?.bytes(&crate::rest::Ask::get(path)).await?));
        return Ok(());
    }
    Session {
        verb: "attach",
        container: &container,
        command: &[],
        stdin: cx.flags.on("stdin"),
        tty: cx.flags.on("tty"),
    }
    .run(cx, &pod)
    .await
}
