//! The pods of each node, as far as the authorizer needs them: what they refer to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;

use super::references::{self, Reference};
use crate::auth::fields;

/// References by node and pod. Clones share them.
#[derive(Clone, Default)]
pub struct NodePods(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    nodes: HashMap<String, HashMap<PodKey, HashSet<Reference>>>,
    /// Where each pod is, to find it again.
    placed: HashMap<PodKey, String>,
}

/// Namespace and name.
type PodKey = (String, String);

impl NodePods {
    pub fn put(&self, pod: &Value) {
        let node = fields::text(pod, "/spec/nodeName");
        let finished = matches!(fields::text(pod, "/status/phase"), "Succeeded" | "Failed");
        let mut state = self.0.write();
        if node.is_empty() || finished && !pod["metadata"]["deletionTimestamp"].is_null() {
            return state.remove(&key(pod));
        }
        // A pod's references hardly ever change, but its claims' status does.
        let references = references::of(pod).into_iter().collect();
        state.placed.insert(key(pod), node.to_owned());
        state.nodes.entry(node.to_owned()).or_default().insert(key(pod), references);
    }

    pub fn delete(&self, pod: &Value) {
        self.0.write().remove(&key(pod));
    }

    /// Whether a pod on `node` refers to `wanted`.
    pub(super) fn refer_to(&self, node: &str, wanted: &Reference) -> bool {
        let state = self.0.read();
        state.nodes.get(node).is_some_and(|pods| pods.values().any(|references| references.contains(wanted)))
    }
}

impl State {
    fn remove(&mut self, key: &PodKey) {
        let Some(node) = self.placed.remove(key) else { return };
        let Some(pods) = self.nodes.get_mut(&node) else { return };
        pods.remove(key);
        if pods.is_empty() {
            self.nodes.remove(&node);
        }
    }
}

fn key(pod: &Value) -> PodKey {
    (fields::namespace(pod).to_owned(), fields::name(pod).to_owned())
}
