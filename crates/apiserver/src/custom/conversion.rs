//! Custom objects from one version to another: by their apiVersion alone, or by a webhook.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/conversion.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Kind;
use crate::error::{ApiError, Result};

/// Asks a conversion webhook.
#[async_trait]
pub trait Converter: Send + Sync {
    /// Objects in, the same objects of `wanted` (an apiVersion) out.
    ///
    /// # Errors
    /// When the webhook cannot be asked, or answers no conversion of these objects.
    async fn convert(&self, webhook: &Value, objects: Vec<Value>, wanted: &str)
    -> Result<Vec<Value>, String>;
}

/// The converter, once the server has one.
#[derive(Clone, Default)]
pub struct Converters(Arc<OnceLock<Arc<dyn Converter>>>);

impl std::fmt::Debug for Converters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Converters")
    }
}

impl Converters {
    /// Only the first counts.
    pub fn set(&self, converter: Arc<dyn Converter>) {
        if self.0.set(converter).is_err() {
            tracing::warn!("a second converter of custom objects is not used");
        }
    }
}

impl Kind {
    /// The objects in the version at `at`; those that are of it already stay.
    ///
    /// # Errors
    /// When the conversion webhook does not do it.
    pub async fn convert(&self, mut objects: Vec<Value>, at: usize) -> Result<Vec<Value>> {
        let wanted = self.definition.api_version(at);
        let others: Vec<usize> =
            (0..objects.len()).filter(|at| objects[*at]["apiVersion"] != wanted).collect();
        if others.is_empty() {
            return Ok(objects);
        }
        if self.definition.conversion["strategy"] != "Webhook" {
            for at in others {
                objects[at]["apiVersion"] = json!(wanted);
            }
            return Ok(objects);
        }
        let given: Vec<Value> = others.iter().map(|at| objects[*at].clone()).collect();
        let converted = self.ask(given, &wanted).await?;
        for (place, mut object) in others.into_iter().zip(converted) {
            api::custom::prune(&self.in_version(at).version().structural, &mut object);
            objects[place] = object;
        }
        Ok(objects)
    }

    async fn ask(&self, objects: Vec<Value>, wanted: &str) -> Result<Vec<Value>> {
        let name = format!("{}.{}", self.definition.plural, self.definition.group);
        let failure = |why: String| {
            let from = objects[0]["apiVersion"].as_str().unwrap_or("");
            ApiError::new(
                500,
                "InternalError",
                format!("conversion webhook for {from}, Kind={} failed: {why}", self.definition.kind),
            )
            .with_log(format!("{name}: {why}"))
        };
        let Some(converter) = self.definition.converters.0.get() else {
            return Err(failure("the server cannot call webhooks yet".into()));
        };
        let webhook = &self.definition.conversion["webhook"];
        let converted = converter.convert(webhook, objects.clone(), wanted).await.map_err(failure)?;
        check(&objects, &converted, wanted).map_err(failure)?;
        Ok(converted.into_iter().zip(&objects).map(|(new, old)| with_fixed_metadata(new, old)).collect())
    }
}

/// Webhooks change labels and annotations, and nothing else of the metadata.
fn with_fixed_metadata(mut new: Value, old: &Value) -> Value {
    let changed = new["metadata"].clone();
    new["metadata"] = old["metadata"].clone();
    for field in ["labels", "annotations"] {
        match changed.get(field) {
            Some(value) => new["metadata"][field] = value.clone(),
            None => {
                if let Some(metadata) = new["metadata"].as_object_mut() {
                    metadata.remove(field);
                }
            }
        }
    }
    new
}

fn check(given: &[Value], converted: &[Value], wanted: &str) -> Result<(), String> {
    if given.len() != converted.len() {
        return Err(format!(
            "invalid response: webhook returned {} objects, expected {}",
            converted.len(),
            given.len()
        ));
    }
    for (index, (old, new)) in given.iter().zip(converted).enumerate() {
        let invalid = |why: String| Err(format!("invalid response: converted object at index {index} {why}"));
        if new["apiVersion"] != wanted {
            return invalid(format!(
                "has invalid apiVersion: got {}, expected {wanted:?}",
                new["apiVersion"]
            ));
        }
        if new["kind"] != old["kind"] {
            return invalid(format!("has invalid kind: got {}, expected {}", new["kind"], old["kind"]));
        }
        for field in ["name", "namespace", "uid"] {
            if new["metadata"][field] != old["metadata"][field] {
                return invalid(format!("must have the same {field} as the original"));
            }
        }
    }
    Ok(())
}
