//! Which objects belong to a controller: its own, those to adopt, those to let go.
//!
//! Upstream: pkg/controller/controller_ref_manager.go.

use std::sync::Arc;

use client::Object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::Resource;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::selector;

/// The owner reference that makes `owner` the controller of what carries it.
pub(crate) fn controller_ref<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The reference to the controller of `object`, if it has one.
pub(crate) fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// What to do with the candidates.
#[derive(Debug)]
pub(crate) struct Claim<T> {
    /// Owned and selected.
    pub owned: Vec<Arc<T>>,
    /// Selected, without a controller.
    pub adopt: Vec<Arc<T>>,
    /// Owned, no longer selected.
    pub release: Vec<Arc<T>>,
}

/// Sorts `candidates`. An owner that is being deleted adopts and releases nothing.
pub(crate) fn claim<O: Resource, T: Resource>(
    owner: &O,
    selector: &LabelSelector,
    candidates: impl IntoIterator<Item = Arc<T>>,
) -> Claim<T> {
    let uid = owner.meta().uid.as_deref().unwrap_or_default();
    let leaving = owner.meta().deletion_timestamp.is_some();
    let mut claim = Claim { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    for candidate in candidates {
        let selected = selector::matches(selector, candidate.meta().labels.as_ref());
        match controller_of(&*candidate) {
            Some(controller) if controller.uid != uid => {}
            Some(_) if selected => claim.owned.push(candidate),
            Some(_) if !leaving => claim.release.push(candidate),
            None if selected && !leaving && candidate.meta().deletion_timestamp.is_none() => {
                claim.adopt.push(candidate);
            }
            _ => {}
        }
    }
    claim
}

impl<T: Object + Resource<DynamicType = ()>> Claim<T> {
    /// Adopts and releases as sorted, and gives all that is owned then.
    ///
    /// `owner_live` asks the server whether the owner is still the one that we know: a cached owner may be gone.
    pub async fn settle(
        mut self,
        api: &Api<T>,
        owner: &OwnerReference,
        owner_live: impl Future<Output = kube::Result<bool>>,
    ) -> kube::Result<Vec<Arc<T>>> {
        for object in &self.release {
            ignore_gone(patch_owner(api, &**object, json!({"$patch": "delete", "uid": owner.uid})).await)?;
        }
        if !self.adopt.is_empty() && owner_live.await? {
            for object in self.adopt {
                if ignore_gone(patch_owner(api, &*object, json!(owner)).await)?.is_some() {
                    self.owned.push(object);
                }
            }
        }
        Ok(self.owned)
    }
}

async fn patch_owner<T: Object>(api: &Api<T>, object: &T, entry: serde_json::Value) -> kube::Result<T> {
    let meta = object.meta();
    // The UID makes the patch fail rather than hit a namesake.
    let patch = json!({"metadata": {"uid": meta.uid, "ownerReferences": [entry]}});
    api.patch(meta.name.as_deref().unwrap_or_default(), &PatchParams::default(), &Patch::Strategic(patch))
        .await
}

/// An object that went away meanwhile, or was replaced by a namesake, needs nothing any more.
fn ignore_gone<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn pod(name: &str, label: &str, owner: Option<&str>) -> Arc<Pod> {
        let owners: Vec<_> = owner
            .map(|uid| json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "s", "uid": uid, "controller": true}))
            .into_iter()
            .collect();
        let pod = json!({"metadata": {"name": name, "labels": {"app": label}, "ownerReferences": owners}});
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn own_adopt_release_and_leave_alone() {
        let set: ReplicaSet = serde_json::from_value(json!({"metadata": {"name": "s", "uid": "u"},
            "spec": {"selector": {"matchLabels": {"app": "a"}}}}))
        .expect("a set");
        let selector = set.spec.clone().expect("has one").selector;
        let pods = [
            pod("mine", "a", Some("u")),
            pod("free", "a", None),
            pod("lost", "b", Some("u")),
            pod("theirs", "a", Some("v")),
        ];
        let claim = claim(&set, &selector, pods);
        let names = |pods: &[Arc<Pod>]| {
            pods.iter().map(|p| p.metadata.name.clone().expect("named")).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(&claim.owned), names(&claim.adopt), names(&claim.release)),
            (vec!["mine".into()], vec!["free".into()], vec!["lost".to_owned()])
        );
    }
}
