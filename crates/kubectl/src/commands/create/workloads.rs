//! `create deployment`, `create job`, `create cronjob`.

use serde_json::{Value, json};

use super::generate::{command_words, flags, make, name, required};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::get_one;

pub const DEPLOYMENT: Command = Command::new(
    "deployment",
    "Create a deployment with the specified name",
    "NAME --image=image -- [COMMAND] [args...]",
)
.aliases(&["deploy"])
.flags(flags![
    Flag::list("image", "Image of a container; several make several containers."),
    Flag::int("port", "-1", "Port that the container opens."),
    Flag::int("replicas", "1", "How many pods.").short('r'),
])
.run(|cx| Box::pin(deployment(cx)));

pub const JOB: Command = Command::new(
    "job",
    "Create a job with the specified name",
    "NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...]",
)
.flags(flags![
    Flag::text("from", "A cron job to take the template from (cronjob/name)."),
    Flag::text("image", "Image of the container."),
])
.run(|cx| Box::pin(job(cx)));

pub const CRON_JOB: Command = Command::new(
    "cronjob",
    "Create a cron job with the specified name",
    "NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...] [flags]",
)
.aliases(&["cj"])
.flags(flags![
    Flag::text("image", "Image of the container."),
    Flag::text("restart", "Restart policy: OnFailure or Never."),
    Flag::text("schedule", "When, as cron writes it."),
])
.run(|cx| Box::pin(cron_job(cx)));

/// An image's own name, made fit for a container.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let base = last.split([':', '@']).next().unwrap_or(last);
    base.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_')
        .collect::<String>()
        .replace('_', "-")
        .to_lowercase()
}

async fn deployment(cx: Context) -> Result {
    required(&cx, &["image"])?;
    let name = name(&cx)?;
    let (images, command) = (cx.flags.list("image"), command_words(&cx));
    if images.len() > 1 && !command.is_empty() {
        return Err(Error::said("cannot specify multiple --image options and command"));
    }
    let mut containers: Vec<Value> = images
        .iter()
        .map(|image| json!({"name": container_name(image), "image": image, "resources": {}}))
        .collect();
    if let Some(first) = containers.first_mut() {
        if !command.is_empty() {
            first["command"] = json!(command);
        }
        let port = cx.flags.int("port");
        if port >= 0 {
            first["ports"] = json!([{"containerPort": port}]);
        }
    }
    let labels = json!({"app": name});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": cx.flags.int("replicas"),
            "selector": {"matchLabels": labels},
            "strategy": {},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        },
        "status": {},
    });
    make(&cx, object).await
}

fn job_spec(name: &str, image: &str, command: Vec<String>, restart: &str) -> Value {
    let mut container = json!({"name": name, "image": image, "resources": {}});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    json!({"template": {"metadata": {}, "spec": {"containers": [container], "restartPolicy": restart}}})
}

async fn job(cx: Context) -> Result {
    let name = name(&cx)?;
    let (image, from, command) =
        (cx.flags.text("image").to_owned(), cx.flags.text("from").to_owned(), command_words(&cx));
    match (image.is_empty(), from.is_empty()) {
        (true, true) | (false, false) => {
            return Err(Error::said("either --image or --from must be specified"));
        }
        (true, false) if !command.is_empty() => return Err(Error::said("cannot specify --from and command")),
        _ => {}
    }
    let mut object =
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "status": {}});
    if from.is_empty() {
        object["spec"] = job_spec(&name, &image, command, "Never");
        return make(&cx, object).await;
    }
    let (kind, source) = from.split_once('/').unwrap_or(("cronjob", &from));
    let resource = cx.resource(kind).await?;
    if resource.kind != "CronJob" {
        return Err(Error::said("from must be an existing cronjob"));
    }
    let namespace = cx.namespace_for(&resource).await?;
    let cron = get_one(&cx, &resource, namespace.as_deref(), source).await?.object;
    let template = &cron["spec"]["jobTemplate"];
    object["spec"] = template["spec"].clone();
    object["metadata"]["annotations"] = template["metadata"]["annotations"].clone();
    object["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] = "manual".into();
    if !template["metadata"]["labels"].is_null() {
        object["metadata"]["labels"] = template["metadata"]["labels"].clone();
    }
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "name": cron["metadata"]["name"], "uid": cron["metadata"]["uid"], "controller": true,
    }]);
    make(&cx, object).await
}

async fn cron_job(cx: Context) -> Result {
    required(&cx, &["image", "schedule"])?;
    let name = name(&cx)?;
    let restart = match cx.flags.text("restart") {
        "" => "OnFailure",
        other => other,
    };
    let spec = job_spec(&name, cx.flags.text("image"), command_words(&cx), restart);
    let object = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "status": {},
        "spec": {"schedule": cx.flags.text("schedule"), "jobTemplate": {"metadata": {"name": name}, "spec": spec}},
    });
    make(&cx, object).await
}
