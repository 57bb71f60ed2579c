//! What keeps a number of pods: ReplicaSets, and ReplicationControllers seen as such.
//!
//! Upstream: pkg/controller/replication/conversion.go does the same.

use client::{Object, reference};
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    ObjectReference, ReplicationController, ReplicationControllerCondition, ReplicationControllerSpec,
    ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Serialize;

use crate::owners;

/// A kind that can be seen as a ReplicaSet.
pub(crate) trait Replicated:
    Object + Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize
{
    fn to_set(&self) -> ReplicaSet;
    fn from_set(set: ReplicaSet) -> Self;

    fn owned_by_this(set: &ReplicaSet) -> OwnerReference {
        OwnerReference {
            api_version: Self::api_version(&()).into_owned(),
            kind: Self::kind(&()).into_owned(),
            ..owners::controller_ref(set)
        }
    }

    fn about(set: &ReplicaSet) -> ObjectReference {
        ObjectReference {
            api_version: Some(Self::api_version(&()).into_owned()),
            kind: Some(Self::kind(&()).into_owned()),
            ..reference(set)
        }
    }
}

impl Replicated for ReplicaSet {
    fn to_set(&self) -> ReplicaSet {
        self.clone()
    }

    fn from_set(set: ReplicaSet) -> Self {
        set
    }
}

impl Replicated for ReplicationController {
    fn to_set(&self) -> ReplicaSet {
        let spec = self.spec.clone().map(|spec| ReplicaSetSpec {
            replicas: spec.replicas,
            min_ready_seconds: spec.min_ready_seconds,
            selector: LabelSelector { match_labels: spec.selector, match_expressions: None },
            template: spec.template,
        });
        let status = self.status.clone().map(|status| ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            terminating_replicas: None,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(to_set_condition).collect()),
        });
        ReplicaSet { metadata: self.metadata.clone(), spec, status }
    }

    fn from_set(set: ReplicaSet) -> Self {
        let spec = set.spec.map(|spec| ReplicationControllerSpec {
            replicas: spec.replicas,
            min_ready_seconds: spec.min_ready_seconds,
            selector: spec.selector.match_labels,
            template: spec.template,
        });
        let status = set.status.map(|status| ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(from_set_condition).collect()),
        });
        Self { metadata: set.metadata, spec, status }
    }
}

fn to_set_condition(condition: ReplicationControllerCondition) -> ReplicaSetCondition {
    ReplicaSetCondition {
        type_: condition.type_,
        status: condition.status,
        reason: condition.reason,
        message: condition.message,
        last_transition_time: condition.last_transition_time,
    }
}

fn from_set_condition(condition: ReplicaSetCondition) -> ReplicationControllerCondition {
    ReplicationControllerCondition {
        type_: condition.type_,
        status: condition.status,
        reason: condition.reason,
        message: condition.message,
        last_transition_time: condition.last_transition_time,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replication_controller_comes_back_as_it_went() {
        let controller: ReplicationController =
            serde_json::from_value(json!({"metadata": {"name": "r", "uid": "u"},
            "spec": {"replicas": 2, "selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "b"}}}},
            "status": {"replicas": 1, "conditions": [{"type": "ReplicaFailure", "status": "True"}]}}))
            .expect("a replication controller");
        let set = controller.to_set();
        assert_eq!(ReplicationController::owned_by_this(&set).kind, "ReplicationController");
        assert_eq!(ReplicationController::about(&set).api_version.as_deref(), Some("v1"));
        assert_eq!(ReplicationController::from_set(set), controller);
    }
}
