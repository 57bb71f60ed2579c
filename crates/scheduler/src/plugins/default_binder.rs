//! DefaultBinder: tells the server that the pod belongs to the node.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

use super::server_words;
use crate::framework::{Bind, Plugin, Rejection, Verdict};
use crate::pod_info::PodInfo;

const NAME: &str = "DefaultBinder";

pub(super) struct DefaultBinder {
    client: Client,
}

impl DefaultBinder {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        NAME
    }
}

#[async_trait]
impl Bind for DefaultBinder {
    async fn bind(&self, pod: &PodInfo, node: &str) -> Verdict {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.key.namespace);
        // Only the answer's code matters.
        let answer: kube::Result<serde_json::Value> = api
            .create_subresource("binding", &pod.key.name, &PostParams::default(), &binding(pod, node))
            .await;
        answer.map(drop).map_err(|error| Rejection::error(NAME, server_words(&error)))
    }
}

/// The UID keeps the binding from reaching a successor of the same name.
fn binding(pod: &PodInfo, node: &str) -> Binding {
    let metadata = ObjectMeta {
        name: Some(pod.key.name.clone()),
        namespace: Some(pod.key.namespace.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectMeta::default()
    };
    let target = ObjectReference {
        kind: Some("Node".to_owned()),
        name: Some(node.to_owned()),
        ..ObjectReference::default()
    };
    Binding { metadata, target }
}
