//! A node with what runs there, kept up to date pod by pod.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::pod_info::{HostPort, PodInfo};
use crate::resources::Resources;

/// A node, and the sums over its pods.
#[derive(Clone, Debug, Default)]
pub struct NodeInfo {
    pub name: String,
    /// Its place in the snapshot.
    pub at: usize,
    /// None while only its pods are known.
    pub node: Option<Arc<Node>>,
    pub allocatable: Resources,
    /// How many pods the node takes.
    pub allowed_pods: i64,
    pub pods: Vec<Arc<PodInfo>>,
    pub requested: Resources,
    /// As ranked: pods that ask for nothing count too.
    pub counted: Resources,
    pub used_ports: Vec<HostPort>,
    /// Sizes of the images that are there, in bytes, by name.
    pub images: HashMap<String, i64>,
}

impl NodeInfo {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Takes a new state of the node object.
    pub fn set_node(&mut self, node: Arc<Node>) {
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.as_ref());
        self.allocatable = allocatable.map(Resources::parse).unwrap_or_default();
        // Counted as a resource of its own, since pods do not ask for it.
        let pods = allocatable.and_then(|list| list.get("pods")).and_then(|pods| pods.0.parse().ok());
        self.allowed_pods = pods.map_or(0, api::Quantity::value);
        self.images = status
            .iter()
            .flat_map(|status| status.images.iter().flatten())
            .flat_map(|image| {
                let size = image.size_bytes.unwrap_or(0);
                image.names.iter().flatten().map(move |name| (name.clone(), size))
            })
            .collect();
        self.node = Some(node);
    }

    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.node.as_ref()?.metadata.labels.as_ref()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key).map(String::as_str)
    }

    pub fn taints(&self) -> &[Taint] {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    pub fn is_unschedulable(&self) -> bool {
        let spec = self.node.as_ref().and_then(|node| node.spec.as_ref());
        spec.and_then(|spec| spec.unschedulable) == Some(true)
    }

    pub fn add_pod(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.counted.add(&pod.counted);
        self.used_ports.extend(pod.host_ports.iter().cloned());
        self.pods.push(pod);
    }

    /// Takes the pod away; None if it is not here.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let at = self.pods.iter().position(|pod| pod.uid == uid)?;
        let pod = self.pods.swap_remove(at);
        self.requested.subtract(&pod.requests);
        self.counted.subtract(&pod.counted);
        for port in &pod.host_ports {
            if let Some(at) = self.used_ports.iter().position(|used| used == port) {
                self.used_ports.swap_remove(at);
            }
        }
        Some(pod)
    }
}
