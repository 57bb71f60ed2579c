//! `scale`: the number of replicas, in one shape for all kinds that have it.
//!
//! Upstream: pkg/registry/apps/deployment/storage/storage.go, `ScaleREST`.

use http::StatusCode;
use serde_json::{Value, json};

use super::own_object;
use crate::custom::Scale;
use crate::custom::definition::{set_at, value_at};
use crate::error::{ApiError, Result};
use crate::registry::before::Part;
use crate::registry::{Codec, Storage};
use crate::verbs::apply::Configuration;
use crate::verbs::patch::Patch;
use crate::verbs::write::{Change, Write};
use crate::verbs::{Call, WriteOptions};
use crate::{Body, Response, object};

pub async fn serve(call: &Call, request_body: Body) -> Result<Response> {
    let storage = call.storage()?;
    match call.info.verb.as_str() {
        "get" => {
            let found = storage.must_read(call.namespace(), call.name()).await?;
            call.answer_plain(StatusCode::OK, &scale_of(storage, &found.value), &[])
        }
        "update" => {
            let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
            let (mut scale, warnings) = own_object(call, request_body, &options).await?;
            call.check_place(&mut scale)?;
            change(call, &options, &Put { storage, scale }, &warnings).await
        }
        _ => {
            let (patch, options) = Patch::read(call, request_body).await?;
            if let Some(configuration) = patch.configuration(call, &options)? {
                return apply(call, &options, &configuration).await;
            }
            let scaled = ScalePatch { storage, codec: codec(), patch: &patch };
            change(call, &options, &scaled, &patch.warnings()).await
        }
    }
}

/// Applies the replicas of a Scale to its workload.
async fn apply(call: &Call, options: &WriteOptions, scale: &Configuration) -> Result<Response> {
    let workload = scale.with(|scale| {
        let mut metadata = json!({});
        object::carry_over(&mut metadata, &scale["metadata"], &["name", "namespace", "uid", "resourceVersion"]);
        let mut spec = json!({});
        object::carry_over(&mut spec, &scale["spec"], &["replicas"]);
        json!({
            "apiVersion": call.served.api_version(), "kind": call.served.kind, "metadata": metadata, "spec": spec,
        })
    });
    let write = Write::new(call, options)?;
    let outcome = write.update(Part::Main, &write.applying(&workload)).await?;
    call.answer_plain(StatusCode::OK, &scale_of(write.storage, &outcome.object), &scale.warnings)
}

fn codec() -> Codec {
    Codec::named("autoscaling/v1", "Scale").expect("described in autoscaling/v1")
}

async fn change(
    call: &Call,
    options: &WriteOptions,
    wanted: &dyn Change,
    warnings: &[String],
) -> Result<Response> {
    let write = Write::new(call, options)?;
    let outcome = write.update(Part::Main, wanted).await?;
    call.answer_plain(StatusCode::OK, &scale_of(write.storage, &outcome.object), warnings)
}

/// The Scale of a workload.
fn scale_of(storage: &Storage, workload: &Value) -> Value {
    let meta = &workload["metadata"];
    if let Some(paths) = custom(storage) {
        return custom_scale(paths, workload);
    }
    let selector = &workload["spec"]["selector"];
    let selector = match storage.resource.resource.as_str() {
        // A plain map of labels.
        "replicationcontrollers" => json!({"matchLabels": selector}),
        _ => selector.clone(),
    };
    let text = selector_text(&selector);
    let mut metadata = json!({});
    object::carry_over(
        &mut metadata,
        meta,
        &["name", "namespace", "uid", "resourceVersion", "creationTimestamp"],
    );
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": workload["spec"]["replicas"].as_i64().unwrap_or(0)},
        "status": {"replicas": workload["status"]["replicas"].as_i64().unwrap_or(0), "selector": text},
    })
}

fn custom(storage: &Storage) -> Option<&Scale> {
    storage.codec.as_custom()?.version().scale.as_ref()
}

/// The Scale of a custom object, whose definition says where its numbers are.
fn custom_scale(paths: &Scale, object: &Value) -> Value {
    let count = |path: &[String]| value_at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = json!({});
    let fields = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"];
    object::carry_over(&mut metadata, &object["metadata"], &fields);
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": count(&paths.spec)}, "status": {"replicas": count(&paths.status)},
    });
    if let Some(selector) = paths.selector.as_ref().and_then(|path| value_at(object, path)) {
        scale["status"]["selector"] = selector.clone();
    }
    scale
}

/// A selector as `--selector` takes it.
fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or(""))).collect();
    for term in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = term["key"].as_str().unwrap_or("");
        let mut values: Vec<&str> =
            term["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        terms.push(match term["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_string(),
        });
    }
    terms.join(",")
}

/// The workload with the replicas and the identity that the Scale asks for.
fn scaled(paths: Option<&Scale>, workload: &Value, scale: &Value) -> Result<Value> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let message = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        let problem = ("FieldValueInvalid".into(), message, "spec.replicas".into());
        return Err(ApiError::invalid("autoscaling", "Scale", object::name(workload), &[problem]));
    }
    let mut wanted = workload.clone();
    match paths {
        Some(paths) => set_at(&mut wanted, &paths.spec, json!(replicas)),
        None => wanted["spec"]["replicas"] = json!(replicas),
    }
    for field in ["resourceVersion", "uid"] {
        let asked = object::meta(scale, field);
        if !asked.is_empty() {
            object::set_meta(&mut wanted, field, Some(json!(asked)));
        }
    }
    Ok(wanted)
}

struct Put<'a> {
    storage: &'a Storage,
    scale: Value,
}

impl Change for Put<'_> {
    fn apply(&self, old: &Value) -> Result<Value> {
        scaled(custom(self.storage), old, &self.scale)
    }
}

struct ScalePatch<'a> {
    storage: &'a Storage,
    codec: Codec,
    patch: &'a Patch,
}

impl Change for ScalePatch<'_> {
    fn apply(&self, old: &Value) -> Result<Value> {
        let scale = self.patch.apply(&self.codec, scale_of(self.storage, old))?;
        scaled(custom(self.storage), old, &scale)
    }
}
