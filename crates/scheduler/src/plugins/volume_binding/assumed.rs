//! What was promised to pods on their way to a node, until the cluster shows it.

use std::collections::HashMap;
use std::sync::Arc;

use client::Key;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::decision::Decision;

/// By pod UID.
#[derive(Default)]
pub(super) struct Assumed(HashMap<String, Promise>);

pub(super) struct Promise {
    node: String,
    pub decision: Arc<Decision>,
}

impl Assumed {
    pub fn assume(&mut self, pod: &str, node: &str, decision: Decision) {
        let promise = Promise { node: node.to_owned(), decision: Arc::new(decision) };
        self.0.insert(pod.to_owned(), promise);
    }

    pub fn forget(&mut self, pod: &str) {
        self.0.remove(pod);
    }

    pub fn decision(&self, pod: &str) -> Option<Arc<Decision>> {
        self.0.get(pod).map(|promise| promise.decision.clone())
    }

    /// The node for which a volume is being made for the claim.
    pub fn node_of(&self, claim: &PersistentVolumeClaim) -> Option<&str> {
        let key = Key::of(claim);
        let mut promises = self.0.values();
        let promise = promises
            .find(|promise| promise.decision.provisioned.iter().any(|other| Key::of(&**other) == key))?;
        Some(&promise.node)
    }

    /// Whether the volume is promised to no other claim.
    pub fn is_free(&self, volume: &str, claim: &PersistentVolumeClaim) -> bool {
        let mut matched = self.0.values().flat_map(|promise| &promise.decision.matched);
        !matched.any(|(other, promised)| {
            promised.metadata.name.as_deref() == Some(volume) && other.metadata.uid != claim.metadata.uid
        })
    }
}
