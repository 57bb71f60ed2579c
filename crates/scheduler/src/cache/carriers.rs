//! The pods that say something about others, those with equal terms together: each set of terms is looked at once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::terms::Terms;

/// How many pods with the same terms are on which node, by its place in the snapshot.
pub(crate) type PerNode = HashMap<usize, u32>;

#[derive(Default)]
pub(super) struct Carriers(HashMap<Arc<Terms>, PerNode>);

impl Carriers {
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Terms>, &PerNode)> {
        self.0.iter()
    }

    pub fn node_added(&mut self, at: usize, node: &NodeInfo) {
        node.pods.iter().for_each(|pod| self.pod_added(at, pod));
    }

    /// Forgets the node; the one at `last` takes its place.
    pub fn node_removed(&mut self, at: usize, last: usize) {
        self.0.retain(|_, nodes| {
            nodes.remove(&at);
            if let Some(count) = nodes.remove(&last) {
                nodes.insert(at, count);
            }
            !nodes.is_empty()
        });
    }

    pub fn pod_added(&mut self, at: usize, pod: &PodInfo) {
        if let Some(terms) = &pod.terms {
            *self.0.entry(terms.clone()).or_default().entry(at).or_default() += 1;
        }
    }

    pub fn pod_removed(&mut self, at: usize, pod: &PodInfo) {
        let Some(terms) = &pod.terms else { return };
        let Some(nodes) = self.0.get_mut(terms) else { return };
        if let Some(count) = nodes.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(&at);
            }
        }
        if nodes.is_empty() {
            self.0.remove(terms);
        }
    }
}
