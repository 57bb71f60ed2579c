//! Which domain each node is in, for a topology key: worked out when first asked for, then kept up to date.

use std::collections::HashMap;

use crate::node_info::NodeInfo;

/// The domain of a node that does not have the label.
pub(crate) const NO_DOMAIN: u32 = u32::MAX;

/// The values of one label, numbered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    pub key: String,
    /// By the node's place in the snapshot.
    domain_of: Vec<u32>,
    ids: HashMap<String, u32>,
}

impl Topology {
    pub fn new(key: &str, nodes: &[NodeInfo]) -> Self {
        let mut topology = Self { key: key.to_owned(), ..Self::default() };
        nodes.iter().for_each(|node| topology.node_added(node));
        topology
    }

    /// The domain of the node at that place; [`NO_DOMAIN`] without the label.
    pub fn domain(&self, at: usize) -> u32 {
        self.domain_of.get(at).copied().unwrap_or(NO_DOMAIN)
    }

    pub fn has(&self, at: usize) -> bool {
        self.domain(at) != NO_DOMAIN
    }

    /// How many numbers were given; those of domains that are gone stay.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn id(&self, value: &str) -> Option<u32> {
        self.ids.get(value).copied()
    }

    /// Too many domains are gone for the numbers to be worth keeping.
    pub fn is_worn(&self) -> bool {
        self.ids.len() > 2 * self.domain_of.len() + 64
    }

    pub fn node_added(&mut self, node: &NodeInfo) {
        let domain = self.number(node);
        self.domain_of.push(domain);
    }

    pub fn node_changed(&mut self, at: usize, node: &NodeInfo) {
        self.domain_of[at] = self.number(node);
    }

    /// The last node takes the place of the one that goes.
    pub fn node_removed(&mut self, at: usize) {
        self.domain_of.swap_remove(at);
    }

    fn number(&mut self, node: &NodeInfo) -> u32 {
        let Some(value) = node.label(&self.key) else { return NO_DOMAIN };
        if let Some(id) = self.ids.get(value) {
            return *id;
        }
        let id = self.ids.len() as u32;
        self.ids.insert(value.to_owned(), id);
        id
    }
}
