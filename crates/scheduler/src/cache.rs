//! What is known of the cluster: nodes, the pods on them, and the pods that are assumed there until the server says so.
//!
//! Upstream: pkg/scheduler/backend/cache. Differs: the loop owns it, so that the snapshot is the cache itself, always
//! fresh and never copied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

/// The nodes as a decision sees them.
#[derive(Default)]
pub struct Snapshot {
    nodes: Vec<NodeInfo>,
    index: HashMap<String, usize>,
    /// How many nodes have an image, by its name.
    image_nodes: HashMap<String, usize>,
    /// How many pods of all nodes have terms about other pods, and how many keep others away.
    pub pods_with_affinity: usize,
    pub pods_with_required_anti_affinity: usize,
    /// Labels of the namespaces.
    pub namespaces: HashMap<String, BTreeMap<String, String>>,
}

impl Snapshot {
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    pub fn get(&self, name: &str) -> Option<&NodeInfo> {
        self.index.get(name).map(|at| &self.nodes[*at])
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// How many nodes have the image.
    pub fn nodes_with_image(&self, name: &str) -> usize {
        self.image_nodes.get(name).copied().unwrap_or(0)
    }

    fn count_images(&mut self, at: usize) {
        for name in self.nodes[at].images.keys() {
            *self.image_nodes.entry(name.clone()).or_default() += 1;
        }
    }

    fn discount_images(&mut self, at: usize) {
        for name in self.nodes[at].images.keys() {
            if let Some(count) = self.image_nodes.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.image_nodes.remove(name);
                }
            }
        }
    }
}

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
        let at = match self.snapshot.index.get(&name) {
            Some(at) => {
                let at = *at;
                self.snapshot.discount_images(at);
                at
            }
            None => {
                let info = self.orphans.remove(&name).unwrap_or_else(|| NodeInfo::new(name.clone()));
                self.count_terms(&info, 1);
                self.snapshot.nodes.push(info);
                self.snapshot.index.insert(name, self.snapshot.nodes.len() - 1);
                self.snapshot.nodes.len() - 1
            }
        };
        self.snapshot.nodes[at].set_node(node);
        self.snapshot.count_images(at);
    }

    /// Forgets the node; its pods stay known until they go too.
    pub fn remove_node(&mut self, name: &str) {
        let Some(at) = self.snapshot.index.get(name).copied() else { return };
        self.snapshot.discount_images(at);
        self.snapshot.index.remove(name);
        let mut info = self.snapshot.nodes.swap_remove(at);
        if let Some(moved) = self.snapshot.nodes.get(at) {
            self.snapshot.index.insert(moved.name.clone(), at);
        }
        self.count_terms(&info, -1);
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
        match self.snapshot.index.get(node) {
            Some(at) => {
                self.snapshot.pods_with_affinity += usize::from(pod.has_pod_affinity);
                self.snapshot.pods_with_required_anti_affinity += usize::from(pod.has_required_anti_affinity);
                self.snapshot.nodes[*at].add_pod(pod);
            }
            None => {
                let orphan = self.orphans.entry(node.to_owned());
                orphan.or_insert_with(|| NodeInfo::new(node)).add_pod(pod);
            }
        }
    }

    pub fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let placed = self.placed.remove(uid)?;
        if let Some(at) = self.snapshot.index.get(&placed.node) {
            let pod = self.snapshot.nodes[*at].remove_pod(uid)?;
            self.snapshot.pods_with_affinity -= usize::from(pod.has_pod_affinity);
            self.snapshot.pods_with_required_anti_affinity -= usize::from(pod.has_required_anti_affinity);
            return Some(pod);
        }
        let orphan = self.orphans.get_mut(&placed.node)?;
        let pod = orphan.remove_pod(uid);
        if orphan.pods.is_empty() {
            self.orphans.remove(&placed.node);
        }
        pod
    }

    fn count_terms(&mut self, info: &NodeInfo, by: isize) {
        let count = |total: &mut usize, of: usize| *total = total.saturating_add_signed(of as isize * by);
        count(&mut self.snapshot.pods_with_affinity, info.pods_with_affinity);
        count(&mut self.snapshot.pods_with_required_anti_affinity, info.pods_with_required_anti_affinity);
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
