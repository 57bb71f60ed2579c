//! What is known of the cluster: nodes, the pods on them, and the pods that are assumed there until the server says so.
//!
//! Upstream: pkg/scheduler/backend/cache. Differs: the loop owns it, so that the snapshot is the cache itself, always
//! fresh and never copied; and what plugins count over all nodes ([`topology`], [`counts`], [`carriers`]) is kept up to
//! date as pods come and go, not counted anew for each pod.

mod carriers;
mod counts;
mod snapshot;
mod topology;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

pub(crate) use counts::{Namespaces, Pick, Pods, Terminating};
pub use snapshot::Snapshot;
pub(crate) use topology::{NO_DOMAIN, Topology};

use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

struct Placed {
    node: String,
    assumed: bool,
}

/// The snapshot with what keeps it.
#[derive(Default)]
pub struct Cache {
    snapshot: Snapshot,
    /// Pods whose node is not known, or no longer.
    orphans: HashMap<String, NodeInfo>,
    /// Where each pod is, by UID.
    placed: HashMap<String, Placed>,
}

impl Cache {
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub fn snapshot_mut(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    pub fn set_node(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.clone().unwrap_or_default();
        if let Some(at) = self.snapshot.index_of(&name) {
            return self.snapshot.change(at, |info| info.set_node(node));
        }
        let mut info = self.orphans.remove(&name).unwrap_or_else(|| NodeInfo::new(name));
        info.set_node(node);
        self.snapshot.push(info);
    }

    /// Forgets the node; its pods stay known until they go too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(mut info) = self.snapshot.remove(name) else { return };
        info.node = None;
        if !info.pods.is_empty() {
            self.orphans.insert(name.to_owned(), info);
        }
    }

    /// The pod is on the node as far as decisions go; [`Cache::set_pod`] confirms, [`Cache::remove_pod`] takes back.
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.place(pod, node, true);
    }

    pub fn is_assumed(&self, uid: &str) -> bool {
        self.placed.get(uid).is_some_and(|placed| placed.assumed)
    }

    pub fn contains_pod(&self, uid: &str) -> bool {
        self.placed.contains_key(uid)
    }

    /// The server says that the pod is on its node. Gives the state that was known before.
    pub fn set_pod(&mut self, pod: Arc<PodInfo>) -> Option<Arc<PodInfo>> {
        let node = pod.node_name()?.to_owned();
        let old = self.remove_pod(&pod.uid);
        self.place(pod, &node, false);
        old
    }

    fn place(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        self.placed.insert(pod.uid.clone(), Placed { node: node.to_owned(), assumed });
        match self.snapshot.index_of(node) {
            Some(at) => self.snapshot.add_pod(at, pod),
            None => {
                let orphan = self.orphans.entry(node.to_owned());
                orphan.or_insert_with(|| NodeInfo::new(node)).add_pod(pod);
            }
        }
    }

    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let placed = self.placed.remove(uid)?;
        if let Some(at) = self.snapshot.index_of(&placed.node) {
            return self.snapshot.remove_pod(at, uid);
        }
        let orphan = self.orphans.get_mut(&placed.node)?;
        let pod = orphan.remove_pod(uid);
        if orphan.pods.is_empty() {
            self.orphans.remove(&placed.node);
        }
        pod
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, pod_on};

    fn told(cache: &Cache) -> String {
        let nodes = cache.snapshot().nodes().iter();
        nodes
            .map(|n| format!("{}: {} pods, {}m", n.name, n.pods.len(), n.requested.milli_cpu))
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn assumed_pods_count_until_confirmed_or_forgotten() {
        let mut cache = Cache::default();
        cache.set_node(node("a", "4"));
        cache.assume(pod("p", "1"), "a");
        assert_eq!((told(&cache).as_str(), cache.is_assumed("p")), ("a: 1 pods, 1000m", true));
        cache.set_pod(pod_on("p", "1", "a"));
        assert_eq!((told(&cache).as_str(), cache.is_assumed("p")), ("a: 1 pods, 1000m", false));
        cache.remove_pod("p");
        assert_eq!(told(&cache), "a: 0 pods, 0m");
    }

    #[test]
    fn pods_may_come_before_their_node_and_outlive_it() {
        let mut cache = Cache::default();
        cache.set_pod(pod_on("p", "1", "a"));
        cache.set_node(node("b", "4"));
        cache.set_node(node("a", "4"));
        assert_eq!(told(&cache), "b: 0 pods, 0m; a: 1 pods, 1000m");
        cache.remove_node("b");
        cache.remove_node("a");
        cache.set_node(node("a", "4"));
        assert_eq!(told(&cache), "a: 1 pods, 1000m");
        cache.remove_pod("p");
        assert_eq!(told(&cache), "a: 0 pods, 0m");
    }
}
