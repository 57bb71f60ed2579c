//! What plugins read of the cluster beside nodes and pods.

use client::{Hub, Store};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

/// Shared views; clones share them.
#[derive(Clone)]
pub struct Sources {
    pub services: Store<Service>,
    pub replication_controllers: Store<ReplicationController>,
    pub replica_sets: Store<ReplicaSet>,
    pub stateful_sets: Store<StatefulSet>,
    pub budgets: Store<PodDisruptionBudget>,
}

impl Sources {
    pub fn new(hub: &Hub) -> Self {
        Self {
            services: hub.store(),
            replication_controllers: hub.store(),
            replica_sets: hub.store(),
            stateful_sets: hub.store(),
            budgets: hub.store(),
        }
    }

    /// A cluster that has none of it: for decisions about pods and nodes alone.
    pub fn none() -> Self {
        Self {
            services: Store::fixed([]),
            replication_controllers: Store::fixed([]),
            replica_sets: Store::fixed([]),
            stateful_sets: Store::fixed([]),
            budgets: Store::fixed([]),
        }
    }

    /// Returns once all has been read; false if the informers ended before.
    pub async fn synced(&self) -> bool {
        self.services.synced().await
            && self.replication_controllers.synced().await
            && self.replica_sets.synced().await
            && self.stateful_sets.synced().await
            && self.budgets.synced().await
    }
}
