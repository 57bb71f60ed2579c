//! How many pods the controllers of some pods ask for.
//!
//! Upstream: pkg/controller/disruption/disruption.go, `getExpectedScale` and its finders.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Key, Store};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DynamicObject, GroupVersionKind};
use kube::{Client, ResourceExt};

use crate::owners;

/// Why the number cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("found no controllers for pod {pod:?}")]
    NoController { pod: String },
    #[error("{resource} does not implement the scale subresource")]
    NoScale { resource: String },
    #[error("cannot read the scale of {kind} {name:?}")]
    Read { kind: String, name: String, source: kube::Error },
}

/// Where scales are read.
pub(super) struct Scales {
    pub client: Client,
    pub deployments: Store<Deployment>,
    pub sets: Store<ReplicaSet>,
    pub stateful: Store<StatefulSet>,
    pub controllers: Store<ReplicationController>,
}

/// The sum, and the names of pods that nobody controls.
pub(super) struct Expected {
    pub count: i32,
    pub unmanaged: Vec<String>,
}

impl Scales {
    pub async fn expected(&self, pods: &[Arc<Pod>]) -> Result<Expected, Error> {
        let mut known: BTreeMap<String, i32> = BTreeMap::new();
        let mut unmanaged = Vec::new();
        for pod in pods {
            let Some(owner) = owners::controller_of(&**pod) else {
                unmanaged.push(pod.name_any());
                continue;
            };
            if known.contains_key(&owner.uid) {
                continue;
            }
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let found = self.find(namespace, owner).await?;
            let (uid, count) = found.ok_or_else(|| Error::NoController { pod: pod.name_any() })?;
            known.insert(owner.uid.clone(), 0);
            known.insert(uid, count);
        }
        Ok(Expected { count: known.values().sum(), unmanaged })
    }

    /// The UID of what decides the number, and the number.
    async fn find(&self, namespace: &str, owner: &OwnerReference) -> Result<Option<(String, i32)>, Error> {
        let key = Key::new(namespace, owner.name.clone());
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let count = |replicas: Option<i32>| Some((owner.uid.clone(), replicas.unwrap_or(1)));
        let is_owner = |uid: &Option<String>| uid.as_ref() == Some(&owner.uid);
        Ok(match (group, owner.kind.as_str()) {
            ("apps", "ReplicaSet") => {
                let set = self.sets.get(&key).filter(|set| is_owner(&set.metadata.uid));
                set.and_then(|set| {
                    self.deployment_of(namespace, &set).or_else(|| count(set.spec.as_ref()?.replicas))
                })
            }
            ("apps", "StatefulSet") => {
                let set = self.stateful.get(&key).filter(|set| is_owner(&set.metadata.uid));
                set.and_then(|set| count(set.spec.as_ref()?.replicas))
            }
            ("", "ReplicationController") => {
                let found = self.controllers.get(&key).filter(|found| is_owner(&found.metadata.uid));
                found.and_then(|found| count(found.spec.as_ref()?.replicas))
            }
            _ => self.by_subresource(namespace, owner).await?,
        })
    }

    fn deployment_of(&self, namespace: &str, set: &ReplicaSet) -> Option<(String, i32)> {
        let owner = owners::controller_of(set).filter(|owner| owner.kind == "Deployment")?;
        let deployment = self.deployments.get(&Key::new(namespace, owner.name.clone()))?;
        let same = deployment.metadata.uid.as_ref() == Some(&owner.uid);
        same.then(|| {
            (owner.uid.clone(), deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1))
        })
    }

    async fn by_subresource(
        &self,
        namespace: &str,
        owner: &OwnerReference,
    ) -> Result<Option<(String, i32)>, Error> {
        let read = |source| Error::Read { kind: owner.kind.clone(), name: owner.name.clone(), source };
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let kind = GroupVersionKind::gvk(group, version, &owner.kind);
        let (resource, _) = kube::discovery::pinned_kind(&self.client, &kind).await.map_err(read)?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        match api.get_scale(&owner.name).await {
            Ok(scale) => {
                let same = scale.metadata.uid.as_ref() == Some(&owner.uid);
                let replicas = scale.spec.and_then(|spec| spec.replicas).unwrap_or(0);
                Ok(same.then(|| (owner.uid.clone(), replicas)))
            }
            Err(error) if client::is_not_found(&error) => {
                let name =
                    if group.is_empty() { resource.plural } else { format!("{}.{group}", resource.plural) };
                Err(Error::NoScale { resource: name })
            }
            Err(error) => Err(read(error)),
        }
    }
}
