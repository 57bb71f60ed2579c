//! What a node offers for the pod's claims. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use claims::{Ground, NodeLabels, annotations};
use client::{Key, Store};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::assumed::Assumed;
use crate::framework::Reason;
use crate::sources::Sources;

const BIND_CONFLICT: &str = "node(s) didn't find available persistent volumes to bind";
const NODE_CONFLICT: &str = "node(s) had volume node affinity conflict";
const NO_VOLUME: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

/// The pod's claims, by what is left to do.
#[derive(Clone)]
pub(super) struct Claims {
    /// The volumes of those that are bound; none where it is gone.
    bound: Vec<Option<Arc<PersistentVolume>>>,
    /// To be bound for this pod, the smallest first.
    delayed: Vec<Arc<PersistentVolumeClaim>>,
    /// Whether some wait for somebody else.
    pub has_immediate: bool,
    /// The volumes that the delayed ones may get: read once, not for each node.
    volumes: Arc<Vec<Arc<PersistentVolume>>>,
}

pub(super) fn annotation<'a>(claim: &'a PersistentVolumeClaim, name: &str) -> Option<&'a str> {
    claim.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

pub(super) fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

pub(super) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    volume_name(claim).is_some() && annotation(claim, annotations::BIND_COMPLETED).is_some()
}

fn class_of(claim: &PersistentVolumeClaim, classes: &Store<StorageClass>) -> Option<Arc<StorageClass>> {
    classes.get(&Key::new("", claims::of_claim(claim)?))
}

impl Claims {
    pub fn new(all: Vec<Arc<PersistentVolumeClaim>>, sources: &Sources) -> Self {
        let mut sorted =
            Self { bound: vec![], delayed: vec![], has_immediate: false, volumes: Arc::default() };
        for claim in all {
            let waits = || class_of(&claim, &sources.classes).is_some_and(|class| claims::is_delayed(&class));
            if is_bound(&claim) {
                let volume = volume_name(&claim).and_then(|name| sources.volumes.get(&Key::new("", name)));
                sorted.bound.push(volume);
            } else if volume_name(&claim).is_none() && waits() {
                sorted.delayed.push(claim);
            } else {
                sorted.has_immediate = true;
            }
        }
        // Small claims first: large volumes stay for those that need them.
        sorted.delayed.sort_by_key(|claim| claims::requested(claim));
        if !sorted.delayed.is_empty() {
            sorted.volumes = Arc::new(sources.volumes.list());
        }
        sorted
    }
}

/// What would be done on a node, and what stands in the way.
#[derive(Default)]
pub(super) struct Decision {
    node_conflict: bool,
    bind_conflict: bool,
    no_volume: bool,
    /// These are bound to each other.
    pub matched: Vec<(Arc<PersistentVolumeClaim>, Arc<PersistentVolume>)>,
    /// For these a volume has to be made.
    pub provisioned: Vec<Arc<PersistentVolumeClaim>>,
}

impl Decision {
    pub fn reasons(&self) -> Vec<Reason> {
        let reasons = [
            (self.node_conflict, NODE_CONFLICT),
            (self.bind_conflict, BIND_CONFLICT),
            (self.no_volume, NO_VOLUME),
        ];
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason.into()).collect()
    }
}

pub(super) fn decide(
    claims: &Claims,
    node: &Node,
    classes: &Store<StorageClass>,
    assumed: &Assumed,
) -> Decision {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let node = NodeLabels { name, labels: node.metadata.labels.as_ref() };
    let mut decision = Decision::default();
    for volume in &claims.bound {
        match volume {
            None => decision.no_volume = true,
            Some(volume) => decision.node_conflict |= !claims::admits(volume, node),
        }
    }
    let mut taken: HashSet<String> = HashSet::new();
    for claim in &claims.delayed {
        let chosen = assumed.node_of(claim).or_else(|| annotation(claim, annotations::SELECTED_NODE));
        if chosen.is_some_and(|chosen| chosen != node.name) {
            decision.bind_conflict = true;
            return decision;
        }
        let free = claims.volumes.iter().filter(|volume| {
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            !taken.contains(name) && assumed.is_free(name, claim)
        });
        // A node was chosen because a volume is to be made there.
        let found = if chosen.is_some() { None } else { claims::best(free, claim, Ground::Node(node)) };
        match found {
            Some(volume) => {
                taken.extend(volume.metadata.name.clone());
                decision.matched.push((claim.clone(), volume.clone()));
            }
            None if can_provision(claim, classes, node) => decision.provisioned.push(claim.clone()),
            None => decision.bind_conflict = true,
        }
    }
    decision
}

fn can_provision(claim: &PersistentVolumeClaim, classes: &Store<StorageClass>, node: NodeLabels<'_>) -> bool {
    let Some(class) = class_of(claim, classes) else { return false };
    !class.provisioner.is_empty()
        && class.provisioner != "kubernetes.io/no-provisioner"
        && claims::selects(class.allowed_topologies.as_deref().unwrap_or_default(), node)
}
