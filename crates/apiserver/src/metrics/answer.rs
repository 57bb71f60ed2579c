//! NodeMetrics and PodMetrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::rates::{Rate, Usage};
use super::{GROUP, usage};
use crate::auth::fields;
use crate::cache::Selection;
use crate::error::{ApiError, GroupResource, Result};
use crate::verbs::list_options::ListOptions;
use crate::verbs::{Call, respond};
use crate::{Response, object};

pub(super) async fn nodes(call: &Call) -> Result<Response> {
    let nodes = objects(call, "nodes")?;
    let found = usage(&call.core, &nodes).await;
    let metrics: Vec<Value> = nodes
        .iter()
        .filter_map(|node| {
            let (_, usage) = found.iter().find(|(name, _)| name == fields::name(node))?;
            Some(node_metrics(node, usage.node.as_ref()?))
        })
        .collect();
    answer(call, &metrics, "nodemetrics", call.name())
}

pub(super) async fn pods(call: &Call) -> Result<Response> {
    let pods = objects(call, "pods")?;
    let all = everything(call, "nodes")?;
    let hosts =
        |node: &&Arc<Value>| pods.iter().any(|pod| fields::text(pod, "/spec/nodeName") == fields::name(node));
    let nodes: Vec<Arc<Value>> = all.iter().filter(hosts).cloned().collect();
    let found: BTreeMap<String, Usage> = usage(&call.core, &nodes).await.into_iter().collect();
    let metrics: Vec<Value> = pods
        .iter()
        .filter_map(|pod| pod_metrics(pod, found.get(fields::text(pod, "/spec/nodeName"))?))
        .collect();
    answer(call, &metrics, "podmetrics", &format!("{}/{}", call.namespace(), call.name()))
}

/// The objects whose metrics are asked for.
fn objects(call: &Call, resource: &str) -> Result<Vec<Arc<Value>>> {
    let selection = Selection::parse(call, &ListOptions::parse(&call.query)?)?;
    let mut found = select(call, resource, &selection)?;
    if !call.name().is_empty() {
        found.retain(|object| fields::name(object) == call.name());
    }
    Ok(found)
}

fn everything(call: &Call, resource: &str) -> Result<Vec<Arc<Value>>> {
    select(call, resource, &Selection::everything("", false))
}

fn select(call: &Call, resource: &str, selection: &Selection) -> Result<Vec<Arc<Value>>> {
    let storage = call.core.registry.storage("", resource).ok_or_else(ApiError::no_such_path)?;
    let entries = storage.cache.list(selection, 0).entries;
    Ok(entries.iter().map(|entry| Arc::new(entry.value())).collect())
}

fn answer(call: &Call, metrics: &[Value], what: &str, name: &str) -> Result<Response> {
    let view = call.view()?;
    if call.name().is_empty() {
        return Ok(respond(StatusCode::OK, view.values(metrics)?, &[]));
    }
    let found = metrics.first().ok_or_else(|| ApiError::not_found(&GroupResource::new(GROUP, what), name))?;
    Ok(respond(StatusCode::OK, view.stored_value(found)?, &[]))
}

fn node_metrics(node: &Value, rate: &Rate) -> Value {
    let mut metrics = common("NodeMetrics", node, rate);
    metrics["usage"] = usage_of(rate);
    metrics
}

/// `None` unless every running container is known: half a sum would mislead.
fn pod_metrics(pod: &Value, usage: &Usage) -> Option<Value> {
    let of = |container: &str| {
        let place = (fields::namespace(pod).to_owned(), fields::name(pod).to_owned(), container.to_owned());
        usage.containers.get(&place)
    };
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let running = lists
        .iter()
        .flat_map(|list| fields::list(pod, list))
        .filter(|status| !status["state"]["running"].is_null())
        .map(|status| fields::text(status, "/name"));
    let rates: Option<Vec<(&str, &Rate)>> = running.map(|name| Some((name, of(name)?))).collect();
    let rates = rates.filter(|rates| !rates.is_empty())?;
    let (_, oldest) = rates.iter().min_by_key(|(_, rate)| rate.at)?;
    let mut metrics = common("PodMetrics", pod, oldest);
    metrics["containers"] =
        rates.iter().map(|(name, rate)| json!({"name": name, "usage": usage_of(rate)})).collect();
    Some(metrics)
}

fn common(kind: &str, of: &Value, rate: &Rate) -> Value {
    let mut metadata = json!({"name": fields::name(of), "creationTimestamp": object::time(rate.at)});
    for field in ["namespace", "labels"] {
        if !of["metadata"][field].is_null() {
            metadata[field] = of["metadata"][field].clone();
        }
    }
    json!({
        "kind": kind,
        "apiVersion": format!("{GROUP}/v1beta1"),
        "metadata": metadata,
        "timestamp": object::time(rate.at),
        "window": format!("{:.3}s", rate.window.as_secs_f64()),
    })
}

fn usage_of(rate: &Rate) -> Value {
    let nano = rate.cpu_nanocores;
    json!({
        "cpu": if nano == 0 { "0".to_owned() } else { format!("{nano}n") },
        "memory": format!("{}Ki", rate.memory_bytes / 1024),
    })
}
