//! The pod that a call means: by its name, or the first of a workload's; and the container in it.
//!
//! Upstream: kubectl/pkg/polymorphichelpers, kubectl/pkg/util/podutils.

use std::time::Duration;

use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, get_one, list_all};
use crate::watch::first;

/// `POD`, or `TYPE/NAME`.
///
/// # Errors
/// It is not there, or has no pod within the time.
pub async fn pod_of(cx: &Context, named: &str, patience: Duration) -> Result<Info> {
    let (kind, name) = named.split_once('/').unwrap_or(("pods", named));
    let resource = cx.resource(kind).await?;
    let namespace = cx.namespace_for(&resource).await?;
    let owner = get_one(cx, &resource, namespace.as_deref(), name).await?;
    if resource.kind == "Pod" {
        return Ok(owner);
    }
    if let Some(pod) = pods_of(cx, &owner).await?.into_iter().next() {
        return Ok(pod);
    }
    let end = tokio::time::Instant::now() + patience;
    let (pods, labels) = (cx.resource("pods").await?, selector_of(&owner)?);
    let collection = pods.path(owner.namespace.as_deref());
    first(cx, &collection, ("labelSelector", &labels), end, |_| true).await?;
    // The one that came may have gone again.
    let found = pods_of(cx, &owner).await?.into_iter().next();
    found.ok_or_else(|| Error::said("timed out waiting for the condition"))
}

/// The pods that an object selects, running and ready ones first.
///
/// # Errors
/// An object that has no pods.
pub async fn pods_of(cx: &Context, owner: &Info) -> Result<Vec<Info>> {
    let wanted = Wanted { labels: selector_of(owner)?, ..Wanted::default() };
    let pods = cx.resource("pods").await?;
    let mut all = list_all(cx, &pods, owner.namespace.as_deref(), &wanted).await?;
    all.sort_by_key(|pod| rank(&pod.object));
    Ok(all)
}

fn selector_of(owner: &Info) -> Result<String> {
    let selector = &owner.object["spec"]["selector"];
    let labels = if selector["matchLabels"].is_object() { &selector["matchLabels"] } else { selector };
    let labels: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)))
        .collect();
    if labels.is_empty() {
        return Err(Error::said(format!(
            "cannot attach to {}: selector for {} not implemented",
            owner.resource.kind, owner.resource.kind
        )));
    }
    Ok(labels.join(","))
}

fn rank(pod: &Value) -> (bool, bool, String) {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.filter(|c| c["type"] == "Ready" && c["status"] == "True").count() > 0;
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or("").to_owned();
    (pod["status"]["phase"] != "Running", !ready, created)
}

/// All containers of a pod: init, ordinary, ephemeral.
pub fn containers(pod: &Value) -> Vec<String> {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|field| pod["spec"][*field].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str().map(str::to_owned))
        .collect()
}

const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

/// The container that was asked for, or the pod's default; says which where it chose among several.
///
/// # Errors
/// The pod has no such container.
pub fn container_of(pod: &Info, asked: &str, quiet: Quiet) -> Result<String> {
    let all = containers(&pod.object);
    if !asked.is_empty() {
        return match all.iter().any(|name| name == asked) {
            true => Ok(asked.to_owned()),
            false => Err(Error::said(format!("container {asked} not found in pod {}", full_name(pod)))),
        };
    }
    let marked = pod.object["metadata"]["annotations"][DEFAULT]
        .as_str()
        .filter(|name| all.iter().any(|own| own == name));
    if let Some(name) = marked {
        return Ok(name.to_owned());
    }
    let first = pod.object["spec"]["containers"][0]["name"].as_str().unwrap_or("").to_owned();
    if all.len() > 1 && quiet == Quiet::No {
        let list: Vec<String> = ordered(&pod.object);
        eprintln!("Defaulted container {first:?} out of: {}", list.join(", "));
    }
    Ok(first)
}

/// Whether a choice is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    Yes,
    No,
}

/// Ordinary containers first, each other with its kind.
fn ordered(pod: &Value) -> Vec<String> {
    let named = |field: &str, kind: &str| -> Vec<String> {
        let list = pod["spec"][field].as_array().into_iter().flatten();
        list.filter_map(|container| Some(format!("{}{kind}", container["name"].as_str()?))).collect()
    };
    let mut all = named("containers", "");
    all.extend(named("ephemeralContainers", " (ephem)"));
    all.extend(named("initContainers", " (init)"));
    all
}

pub fn full_name(pod: &Info) -> String {
    format!("{}_{}", pod.name, pod.namespace.as_deref().unwrap_or("default"))
}
