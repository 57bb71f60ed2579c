//! Short ways to make pods and nodes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::pod_info::PodInfo;

/// A node with that much cpu, room for 110 pods and 32 GiB.
pub fn node(name: &str, cpu: &str) -> Arc<Node> {
    node_from(json!({"metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": "32Gi", "pods": "110"}}}))
}

pub fn node_from(value: Value) -> Arc<Node> {
    Arc::new(serde_json::from_value(value).expect("a node"))
}

pub fn pod_value(name: &str, cpu: &str) -> Value {
    let requests = if cpu.is_empty() { json!({}) } else { json!({"cpu": cpu}) };
    json!({"metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}]}})
}

/// A pod whose UID is its name.
pub fn pod(name: &str, cpu: &str) -> Arc<PodInfo> {
    pod_from(pod_value(name, cpu))
}

pub fn pod_on(name: &str, cpu: &str, node: &str) -> Arc<PodInfo> {
    pod_with(name, cpu, json!({"nodeName": node}))
}

/// A pod with more in its spec.
pub fn pod_with(name: &str, cpu: &str, spec: Value) -> Arc<PodInfo> {
    let mut value = pod_value(name, cpu);
    for (key, part) in spec.as_object().expect("an object") {
        value["spec"][key] = part.clone();
    }
    pod_from(value)
}

pub fn pod_from(value: Value) -> Arc<PodInfo> {
    let pod: Pod = serde_json::from_value(value).expect("a pod");
    Arc::new(PodInfo::new(Arc::new(pod)))
}
