//! The constraints that a pod has, by itself or by default.

use std::sync::Arc;

use client::Key;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::PodTopologySpread;
use crate::cache::{Namespaces, Pick, Pods, Snapshot, Terminating, Topology};
use crate::config::SpreadDefaults;
use crate::labels;
use crate::node_info::NodeInfo;
use crate::plugins::node_affinity;
use crate::pod_info::PodInfo;
use crate::selector::{Labels, Selector};

pub(super) const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const HARD: &str = "DoNotSchedule";
const SOFT: &str = "ScheduleAnyway";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Honor,
    Ignore,
}

/// One constraint, its selector compiled.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    pub max_skew: i64,
    pub key: String,
    pub selector: Selector,
    pub min_domains: usize,
    affinity: Policy,
    taints: Policy,
}

impl Constraint {
    fn new(constraint: &TopologySpreadConstraint, labels: Option<&Labels>) -> Self {
        let policy = |policy: &Option<String>, default| match policy.as_deref() {
            Some("Honor") => Policy::Honor,
            Some("Ignore") => Policy::Ignore,
            _ => default,
        };
        let mut own = Labels::new();
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(value) = labels.and_then(|labels| labels.get(key)) {
                own.insert(key.clone(), value.clone());
            }
        }
        Self {
            max_skew: constraint.max_skew.into(),
            key: constraint.topology_key.clone(),
            selector: Selector::of(constraint.label_selector.as_ref()).and(Selector::of_map(&own)),
            min_domains: constraint.min_domains.and_then(|least| least.try_into().ok()).unwrap_or(1),
            affinity: policy(&constraint.node_affinity_policy, Policy::Honor),
            taints: policy(&constraint.node_taints_policy, Policy::Ignore),
        }
    }

    /// Whether the node's domain counts for the pod.
    pub fn includes(&self, pod: &PodInfo, node: &NodeInfo) -> bool {
        (self.affinity == Policy::Ignore || node_affinity::matches(pod, node))
            && (self.taints == Policy::Ignore
                || labels::untolerated(node.taints(), pod.tolerations()).is_none())
    }

    /// The pods that are counted.
    pub fn pods(&self, pod: &PodInfo) -> Pods {
        let namespaces = Namespaces::Named([pod.key.namespace.clone()].into());
        let pick = Pick { namespaces, selector: self.selector.clone() };
        Pods { picks: vec![pick], terminating: Terminating::Skip }
    }
}

/// The domains of each constraint's key.
pub(super) fn topologies(constraints: &[Constraint], snapshot: &Snapshot) -> Vec<Arc<Topology>> {
    constraints.iter().map(|constraint| snapshot.topology(&constraint.key)).collect()
}

impl PodTopologySpread {
    pub(super) fn hard(&self, pod: &PodInfo) -> Vec<Constraint> {
        self.constraints(pod, HARD)
    }

    pub(super) fn soft(&self, pod: &PodInfo) -> Vec<Constraint> {
        self.constraints(pod, SOFT)
    }

    /// Nodes without a zone must not fall out of the spreading over hosts that every cluster has.
    pub(super) fn needs_all_keys(&self, pod: &PodInfo) -> bool {
        own(pod).is_some() || self.defaults != SpreadDefaults::System
    }

    fn constraints(&self, pod: &PodInfo, action: &str) -> Vec<Constraint> {
        let compile = |all: &[TopologySpreadConstraint]| -> Vec<Constraint> {
            let all = all.iter().filter(|constraint| constraint.when_unsatisfiable == action);
            all.map(|constraint| Constraint::new(constraint, pod.labels())).collect()
        };
        if let Some(own) = own(pod) {
            return compile(own);
        }
        let mut constraints = match &self.defaults {
            SpreadDefaults::System if action == SOFT => compile(&system_defaults()),
            SpreadDefaults::System => vec![],
            SpreadDefaults::List(list) => compile(list),
        };
        if constraints.is_empty() {
            return constraints;
        }
        let selector = self.default_selector(pod);
        if selector.picks_everything() {
            return vec![];
        }
        constraints.iter_mut().for_each(|constraint| constraint.selector = selector.clone());
        constraints
    }

    /// What the pod's services and its owner have in common; everything if there are none.
    ///
    /// Upstream: plugins/helper, `DefaultSelector`.
    fn default_selector(&self, pod: &PodInfo) -> Selector {
        let mut services = Labels::new();
        for service in self.sources.services.in_namespace(&pod.key.namespace) {
            let Some(selector) = service.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
                continue;
            };
            if Selector::of_map(selector).picks(pod.labels()) {
                services.extend(selector.clone());
            }
        }
        let owners = pod.pod.metadata.owner_references.iter().flatten();
        let owner = owners.into_iter().find(|owner| owner.controller == Some(true));
        let owned = owner.and_then(|owner| self.owner_selector(pod, owner));
        let services = Selector::of_map(&services);
        match owned {
            Some(owned) => services.and(owned),
            None => services,
        }
    }

    fn owner_selector(&self, pod: &PodInfo, owner: &OwnerReference) -> Option<Selector> {
        let key = Key::new(pod.key.namespace.clone(), owner.name.clone());
        match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("v1", "ReplicationController") => {
                let found = self.sources.replication_controllers.get(&key)?;
                Some(Selector::of_map(found.spec.as_ref()?.selector.as_ref()?))
            }
            ("apps/v1", "ReplicaSet") => {
                let found: Arc<ReplicaSet> = self.sources.replica_sets.get(&key)?;
                Some(Selector::of(Some(&found.spec.as_ref()?.selector)))
            }
            ("apps/v1", "StatefulSet") => {
                let found: Arc<StatefulSet> = self.sources.stateful_sets.get(&key)?;
                Some(Selector::of(Some(&found.spec.as_ref()?.selector)))
            }
            _ => None,
        }
    }
}

fn own(pod: &PodInfo) -> Option<&[TopologySpreadConstraint]> {
    let own = pod.spec()?.topology_spread_constraints.as_deref()?;
    (!own.is_empty()).then_some(own)
}

/// What spreads pods of a group a little in every cluster.
fn system_defaults() -> [TopologySpreadConstraint; 2] {
    [(HOSTNAME, 3), (ZONE, 5)].map(|(key, max_skew)| TopologySpreadConstraint {
        max_skew,
        topology_key: key.to_owned(),
        when_unsatisfiable: SOFT.to_owned(),
        ..TopologySpreadConstraint::default()
    })
}
