//! What a decision sees: the nodes, and what was counted over them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::Key;

use super::carriers::{Carriers, PerNode};
use super::counts::{Counts, Pods};
use super::topology::Topology;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::terms::Terms;

/// The nodes as a decision sees them.
#[derive(Default)]
pub struct Snapshot {
    pub(super) nodes: Vec<NodeInfo>,
    pub(super) index: HashMap<String, usize>,
    /// How many nodes have an image, by its name.
    image_nodes: HashMap<String, usize>,
    carriers: Carriers,
    /// How many pods on nodes use a claim.
    claim_users: HashMap<Key, usize>,
    /// Filled as decisions ask; one task owns the snapshot, so that no lock is needed.
    topologies: RefCell<HashMap<String, Arc<Topology>>>,
    counts: RefCell<Counts>,
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

    /// How many pods on nodes use the claim.
    pub fn users_of(&self, claim: &Key) -> usize {
        self.claim_users.get(claim).copied().unwrap_or(0)
    }

    /// The domains of a topology key.
    pub(crate) fn topology(&self, key: &str) -> Arc<Topology> {
        let mut topologies = self.topologies.borrow_mut();
        if let Some(topology) = topologies.get(key) {
            return topology.clone();
        }
        let topology = Arc::new(Topology::new(key, &self.nodes));
        topologies.insert(key.to_owned(), topology.clone());
        topology
    }

    /// How many of the pods are on each node, by its place.
    pub(crate) fn count(&self, pods: &Pods) -> Arc<Vec<u32>> {
        self.counts.borrow_mut().get(pods, &self.nodes)
    }

    /// The pods that say something about others, by what they say.
    pub(crate) fn carriers(&self) -> impl Iterator<Item = (&Arc<Terms>, &PerNode)> {
        self.carriers.iter()
    }

    /// Adds a node with the pods that are known to be there.
    pub(super) fn push(&mut self, mut node: NodeInfo) {
        let at = self.nodes.len();
        node.at = at;
        for topology in self.topologies.get_mut().values_mut() {
            Arc::make_mut(topology).node_added(&node);
        }
        self.counts.get_mut().node_added(&node);
        self.carriers.node_added(at, &node);
        node.pods.iter().for_each(|pod| use_claims(&mut self.claim_users, pod));
        self.count_images(&node);
        self.index.insert(node.name.clone(), at);
        self.nodes.push(node);
    }

    /// Lets `change` change the node object.
    pub(super) fn change(&mut self, at: usize, change: impl FnOnce(&mut NodeInfo)) {
        self.discount_images(at);
        change(&mut self.nodes[at]);
        let node = std::mem::take(&mut self.nodes[at]);
        for topology in self.topologies.get_mut().values_mut() {
            Arc::make_mut(topology).node_changed(at, &node);
        }
        self.count_images(&node);
        self.nodes[at] = node;
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<NodeInfo> {
        let at = self.index.remove(name)?;
        self.discount_images(at);
        self.carriers.node_removed(at, self.nodes.len() - 1);
        self.counts.get_mut().node_removed(at);
        self.topologies.get_mut().retain(|_, topology| {
            Arc::make_mut(topology).node_removed(at);
            !topology.is_worn()
        });
        let gone = self.nodes.swap_remove(at);
        gone.pods.iter().for_each(|pod| leave_claims(&mut self.claim_users, pod));
        if let Some(moved) = self.nodes.get_mut(at) {
            moved.at = at;
            self.index.insert(moved.name.clone(), at);
        }
        Some(gone)
    }

    pub(super) fn add_pod(&mut self, at: usize, pod: Arc<PodInfo>) {
        self.carriers.pod_added(at, &pod);
        use_claims(&mut self.claim_users, &pod);
        self.counts.get_mut().pod_added(at, &pod);
        self.nodes[at].add_pod(pod);
    }

    pub(super) fn remove_pod(&mut self, at: usize, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.nodes[at].remove_pod(uid)?;
        self.carriers.pod_removed(at, &pod);
        leave_claims(&mut self.claim_users, &pod);
        self.counts.get_mut().pod_removed(at, &pod);
        Some(pod)
    }

    fn count_images(&mut self, node: &NodeInfo) {
        for name in node.images.keys() {
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

fn use_claims(users: &mut HashMap<Key, usize>, pod: &PodInfo) {
    for claim in &pod.claims {
        *users.entry(claim.clone()).or_default() += 1;
    }
}

fn leave_claims(users: &mut HashMap<Key, usize>, pod: &PodInfo) {
    for claim in &pod.claims {
        if let Some(count) = users.get_mut(claim) {
            *count -= 1;
            if *count == 0 {
                users.remove(claim);
            }
        }
    }
}
