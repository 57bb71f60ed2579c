//! Pods for which room is being made on a node: others of lower rank must not take it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pod_info::PodInfo;

/// Nominated pods by node.
#[derive(Default)]
pub struct Nominator {
    by_node: HashMap<String, Vec<Arc<PodInfo>>>,
    node_of: HashMap<String, String>,
}

impl Nominator {
    pub fn nominate(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.remove(&pod.uid);
        self.node_of.insert(pod.uid.clone(), node.to_owned());
        self.by_node.entry(node.to_owned()).or_default().push(pod);
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(node) = self.node_of.remove(uid) else { return };
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.retain(|pod| pod.uid != uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.node_of.get(uid).map(String::as_str)
    }

    /// The pods nominated to `node` that go before `pod`.
    pub fn before<'a>(&'a self, pod: &'a PodInfo, node: &str) -> impl Iterator<Item = &'a Arc<PodInfo>> {
        let nominated = self.by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        nominated.iter().filter(|other| other.priority >= pod.priority && other.uid != pod.uid)
    }

    /// The pods of lower rank that are nominated to `node`.
    pub fn below(&self, priority: i32, node: &str) -> Vec<Arc<PodInfo>> {
        let nominated = self.by_node.get(node).into_iter().flatten();
        nominated.filter(|pod| pod.priority < priority).cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.node_of.is_empty()
    }
}
