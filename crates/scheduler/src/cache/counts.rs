//! How many pods a selector picks on each node: counted when first asked for, then kept up to date pod by pod.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::selector::Selector;

/// So many selectors are kept up to date; the one that was not asked for longest goes first.
const MOST_SELECTORS: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Namespaces {
    All,
    Named(BTreeSet<String>),
}

/// Pods of some namespaces, by their labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pick {
    pub namespaces: Namespaces,
    pub selector: Selector,
}

impl Pick {
    pub fn picks(&self, pod: &PodInfo) -> bool {
        let namespace = match &self.namespaces {
            Namespaces::All => true,
            Namespaces::Named(names) => names.contains(&pod.key.namespace),
        };
        namespace && self.selector.picks(pod.labels())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Terminating {
    Count,
    Skip,
}

/// The pods that each of the picks picks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pods {
    pub picks: Vec<Pick>,
    pub terminating: Terminating,
}

impl Pods {
    pub fn include(&self, pod: &PodInfo) -> bool {
        let counts = self.terminating == Terminating::Count || !pod.is_terminating();
        counts && self.picks.iter().all(|pick| pick.picks(pod))
    }

    fn on(&self, node: &NodeInfo) -> u32 {
        node.pods.iter().filter(|pod| self.include(pod)).count() as u32
    }
}

struct Count {
    /// By the node's place in the snapshot.
    per_node: Arc<Vec<u32>>,
    last_asked: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    counts: HashMap<Pods, Count>,
    asked: u64,
}

impl Counts {
    pub fn get(&mut self, pods: &Pods, nodes: &[NodeInfo]) -> Arc<Vec<u32>> {
        self.asked += 1;
        if let Some(count) = self.counts.get_mut(pods) {
            count.last_asked = self.asked;
            return count.per_node.clone();
        }
        if self.counts.len() >= MOST_SELECTORS {
            let oldest = self.counts.iter().min_by_key(|(_, count)| count.last_asked);
            if let Some(oldest) = oldest.map(|(pods, _)| pods.clone()) {
                self.counts.remove(&oldest);
            }
        }
        let per_node = Arc::new(nodes.iter().map(|node| pods.on(node)).collect::<Vec<_>>());
        self.counts.insert(pods.clone(), Count { per_node: per_node.clone(), last_asked: self.asked });
        per_node
    }

    pub fn node_added(&mut self, node: &NodeInfo) {
        for (pods, count) in &mut self.counts {
            Arc::make_mut(&mut count.per_node).push(pods.on(node));
        }
    }

    pub fn node_removed(&mut self, at: usize) {
        for count in self.counts.values_mut() {
            Arc::make_mut(&mut count.per_node).swap_remove(at);
        }
    }

    pub fn pod_added(&mut self, at: usize, pod: &PodInfo) {
        for (_, count) in self.counts.iter_mut().filter(|(pods, _)| pods.include(pod)) {
            Arc::make_mut(&mut count.per_node)[at] += 1;
        }
    }

    pub fn pod_removed(&mut self, at: usize, pod: &PodInfo) {
        for (_, count) in self.counts.iter_mut().filter(|(pods, _)| pods.include(pod)) {
            Arc::make_mut(&mut count.per_node)[at] -= 1;
        }
    }
}
