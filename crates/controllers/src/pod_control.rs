//! Creates and deletes the pods of an owner, and tells it in events.
//!
//! Upstream: pkg/controller/controller_utils.go, `RealPodControl`.

use client::EventType;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, PodTemplateSpec};
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::core::ObjectMeta;

use crate::context::Context;

/// Pods of one owner, in its namespace.
pub(crate) struct PodControl {
    context: Context,
    about: ObjectReference,
    api: Api<Pod>,
}

impl PodControl {
    pub fn new(context: &Context, about: ObjectReference) -> Self {
        let namespace = about.namespace.clone().unwrap_or_default();
        Self { context: context.clone(), about, api: Api::namespaced(context.client.clone(), &namespace) }
    }

    pub async fn create(&self, pod: &Pod) -> kube::Result<Pod> {
        match self.api.create(&PostParams::default(), pod).await {
            Ok(pod) => {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                self.say(EventType::Normal, "SuccessfulCreate", format!("Created pod: {name}"));
                Ok(pod)
            }
            Err(error) => {
                if !client::is_namespace_terminating(&error) {
                    let message = format!("Error creating: {}", told(&error));
                    self.say(EventType::Warning, "FailedCreate", message);
                }
                Err(error)
            }
        }
    }

    /// Deletes this very pod. One that is gone already, or replaced by a namesake, is no error.
    pub async fn delete(&self, pod: &Pod) -> kube::Result<()> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let same = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        match self.api.delete(name, &DeleteParams::default().preconditions(same)).await {
            Ok(_) => {
                self.say(EventType::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
                Ok(())
            }
            Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => Ok(()),
            Err(error) => {
                self.say(EventType::Warning, "FailedDelete", format!("Error deleting: {}", told(&error)));
                Err(error)
            }
        }
    }

    pub fn say(&self, kind: EventType, reason: &str, message: String) {
        self.context.recorder.event(&self.about, kind, reason, message);
    }
}

/// The server's own words where it was the server that refused.
pub(crate) fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => stdx::error_chain(error),
    }
}

/// A pod of a template, without name and owner.
pub(crate) fn from_template(template: PodTemplateSpec) -> Pod {
    let from = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            labels: from.labels,
            annotations: from.annotations,
            finalizers: from.finalizers,
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
