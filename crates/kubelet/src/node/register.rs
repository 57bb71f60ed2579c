//! Makes the Node object, and makes it again if somebody deleted it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus};
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;

use super::facts;
use crate::config::Config;

/// The labels that every kubelet gives its node.
pub(crate) fn labels(config: &Config) -> BTreeMap<String, String> {
    let arch = facts::architecture();
    let mut labels = BTreeMap::from(
        [
            ("kubernetes.io/hostname", config.node_name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", arch),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", arch),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    labels.extend(config.labels.clone());
    labels
}

/// Creates the node with `status`, or brings the labels of the one that is there up to date.
pub(super) async fn register(config: &Config, status: NodeStatus) -> kube::Result<Node> {
    let api: Api<Node> = Api::all(config.client.clone());
    let node = Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config)),
            annotations: Some(BTreeMap::from([(
                "volumes.kubernetes.io/controller-managed-attach-detach".to_owned(),
                "true".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec::default()),
        status: Some(status),
    };
    match api.create(&PostParams::default(), &node).await {
        Err(error) if client::is_already_exists(&error) => adopt(config, &api).await,
        other => other,
    }
}

async fn adopt(config: &Config, api: &Api<Node>) -> kube::Result<Node> {
    let mut node = api.get(&config.node_name).await?;
    let labels = labels(config);
    let current = node.metadata.labels.get_or_insert_default();
    if labels.iter().all(|(key, value)| current.get(key) == Some(value)) {
        return Ok(node);
    }
    current.extend(labels);
    api.replace(&config.node_name, &PostParams::default(), &node).await
}
