//! What plugins read of the cluster beside nodes and pods.

use std::sync::Arc;

use client::{Hub, Store};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Node, PersistentVolume, PersistentVolumeClaim, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use tokio::sync::Notify;

/// Shared views; clones share them.
#[derive(Clone)]
pub struct Sources {
    pub services: Store<Service>,
    pub replication_controllers: Store<ReplicationController>,
    pub replica_sets: Store<ReplicaSet>,
    pub stateful_sets: Store<StatefulSet>,
    pub budgets: Store<PodDisruptionBudget>,
    pub claims: Store<PersistentVolumeClaim>,
    pub volumes: Store<PersistentVolume>,
    pub classes: Store<StorageClass>,
    pub nodes: Store<Node>,
    /// Told whenever a claim or a volume changed.
    pub claims_changed: Arc<Notify>,
}

impl Sources {
    pub fn new(hub: &Hub) -> Self {
        Self {
            services: hub.store(),
            replication_controllers: hub.store(),
            replica_sets: hub.store(),
            stateful_sets: hub.store(),
            budgets: hub.store(),
            claims: hub.store(),
            volumes: hub.store(),
            classes: hub.store(),
            nodes: hub.store(),
            claims_changed: Arc::default(),
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
            claims: Store::fixed([]),
            volumes: Store::fixed([]),
            classes: Store::fixed([]),
            nodes: Store::fixed([]),
            claims_changed: Arc::default(),
        }
    }

    /// Returns once all has been read; false if the informers ended before.
    pub async fn synced(&self) -> bool {
        self.services.synced().await
            && self.replication_controllers.synced().await
            && self.replica_sets.synced().await
            && self.stateful_sets.synced().await
            && self.budgets.synced().await
            && self.claims.synced().await
            && self.volumes.synced().await
            && self.classes.synced().await
    }
}
