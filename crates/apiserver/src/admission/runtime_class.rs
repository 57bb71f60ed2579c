//! RuntimeClass: a pod takes over its class's overhead, node selector and tolerations.
//!
//! Upstream: plugin/pkg/admission/runtimeclass.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::pod::push;
use super::{Admission, Request};
use crate::ApiError;
use crate::auth::{Objects, fields};

pub(super) struct RuntimeClass {
    pub objects: Arc<dyn Objects>,
}

#[async_trait]
impl Admission for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        if !request.creates("", "pods") {
            return Ok(());
        }
        let Some(mut pod) = request.object.take() else { return Ok(()) };
        let admitted = self.admit_pod(request, &mut pod).await;
        request.object = Some(pod);
        admitted
    }
}

impl RuntimeClass {
    async fn admit_pod(&self, request: &Request, pod: &mut Value) -> Result<(), ApiError> {
        let name = fields::text(pod, "/spec/runtimeClassName").to_owned();
        let overhead = pod["spec"]["overhead"].clone();
        if name.is_empty() {
            return match overhead.is_null() {
                true => Ok(()),
                false => Err(request.forbidden(
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )),
            };
        }
        let Some(class) = self.objects.get("node.k8s.io", "runtimeclasses", "", &name).await else {
            return Err(request.forbidden(format!("pod rejected: RuntimeClass {name:?} not found")));
        };
        let fixed = &class["overhead"]["podFixed"];
        if !overhead.is_null() && overhead != *fixed {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(request.forbidden(why));
        }
        if !fixed.is_null() {
            pod["spec"]["overhead"] = fixed.clone();
        }
        merge_scheduling(request, pod, &class["scheduling"])
    }
}

fn merge_scheduling(request: &Request, pod: &mut Value, scheduling: &Value) -> Result<(), ApiError> {
    for (label, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let own = &pod["spec"]["nodeSelector"][label];
        if !own.is_null() && own != value {
            return Err(request.forbidden(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {}; pod.spec.nodeSelector[{label}] = {}",
                value.as_str().unwrap_or_default(),
                own.as_str().unwrap_or_default()
            )));
        }
        pod["spec"]["nodeSelector"][label] = value.clone();
    }
    for toleration in fields::list(scheduling, "/tolerations") {
        if !fields::list(pod, "/spec/tolerations").contains(toleration) {
            push(&mut pod["spec"], "tolerations", toleration.clone());
        }
    }
    Ok(())
}
