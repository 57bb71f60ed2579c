//! Priority: a pod's class becomes its number.
//!
//! Upstream: plugin/pkg/admission/priority.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Admission, Operation, Request};
use crate::ApiError;
use crate::auth::{Objects, fields};

const GROUP: &str = "scheduling.k8s.io";

/// The classes that every cluster has, and their values. Upstream: pkg/apis/scheduling/v1/helpers.go.
pub const SYSTEM_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

pub(super) struct Priority {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        if !request.is("", "pods") {
            return Ok(());
        }
        match request.operation {
            Operation::Create => {
                let Some(mut pod) = request.object.take() else { return Ok(()) };
                let admitted = self.admit_pod(request, &mut pod).await;
                request.object = Some(pod);
                admitted
            }
            Operation::Update => {
                keep(request);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        match &request.object {
            Some(class) if writes && request.is(GROUP, "priorityclasses") && is_global(class) => {
                self.check_only_global(request, class).await
            }
            _ => Ok(()),
        }
    }
}

impl Priority {
    async fn admit_pod(&self, request: &Request, pod: &mut Value) -> Result<(), ApiError> {
        let name = fields::text(pod, "/spec/priorityClassName").to_owned();
        let class =
            match name.as_str() {
                "" => self.global().await,
                name => Some(self.class(name).await.ok_or_else(|| {
                    request.forbidden(format!("no PriorityClass with name {name} was found"))
                })?),
            };
        if let Some(class) = &class {
            pod["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
        }
        let priority = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
        let preemption = class.as_ref().map_or("", |class| fields::text(class, "/preemptionPolicy"));
        let preemption = if preemption.is_empty() { "PreemptLowerPriority" } else { preemption };
        let spec = &mut pod["spec"];
        if let Some(given) = spec["priority"].as_i64().filter(|given| *given != priority) {
            return Err(request.forbidden(format!(
                "the integer value of priority ({given}) must not be provided in pod spec; \
                 priority admission controller computed {priority} from the given PriorityClass name"
            )));
        }
        if let Some(given) = spec["preemptionPolicy"].as_str().filter(|given| *given != preemption) {
            return Err(request.forbidden(format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; \
                 priority admission controller computed {preemption} from the given PriorityClass name"
            )));
        }
        spec["priority"] = json!(priority);
        spec["preemptionPolicy"] = json!(preemption);
        Ok(())
    }

    async fn class(&self, name: &str) -> Option<Arc<Value>> {
        let stored = self.objects.get(GROUP, "priorityclasses", "", name).await;
        stored.or_else(|| {
            SYSTEM_CLASSES.iter().find(|class| class.0 == name).map(|class| Arc::new(object(class)))
        })
    }

    /// The class for pods that name none; of several, the lowest.
    async fn global(&self) -> Option<Arc<Value>> {
        let classes = self.objects.list(GROUP, "priorityclasses", "").await;
        classes.into_iter().filter(|class| is_global(class)).min_by_key(|class| class["value"].as_i64())
    }

    async fn check_only_global(&self, request: &Request, class: &Value) -> Result<(), ApiError> {
        match self.global().await {
            Some(other) if fields::name(&other) != fields::name(class) => Err(request.forbidden(format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                fields::name(&other)
            ))),
            _ => Ok(()),
        }
    }
}

/// A system class as an object.
pub fn object(&(name, value, description): &(&str, i64, &str)) -> Value {
    json!({
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": description,
        "preemptionPolicy": "PreemptLowerPriority",
    })
}

fn is_global(class: &Value) -> bool {
    class["globalDefault"] == true
}

/// A client that does not know the computed fields does not remove them.
fn keep(request: &mut Request) {
    let (Some(pod), Some(old)) = (&mut request.object, &request.old) else { return };
    for field in ["priority", "preemptionPolicy"] {
        let kept = &old["spec"][field];
        if pod["spec"][field].is_null() && !kept.is_null() {
            pod["spec"][field] = kept.clone();
        }
    }
}
