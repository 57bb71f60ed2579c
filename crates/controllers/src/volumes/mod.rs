//! Claims and volumes: bound to each other, kept while in use, made, grown and reclaimed.
//!
//! Upstream: pkg/controller/volume. Reading order: [`binder`], [`protection`], [`ephemeral`], then [`local_path`] (the
//! provisioner that every cluster has) and [`expand`].

pub(crate) mod binder;
pub(crate) mod ephemeral;
pub(crate) mod expand;
pub(crate) mod local_path;
pub(crate) mod protection;

use client::{Key, Store};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};

/// The index of pods by the claims that they use, as `namespace/name`.
const BY_CLAIM: &str = "claim";

fn index_by_claim(pods: &Store<Pod>) {
    pods.add_index(BY_CLAIM, |pod| {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        claims::claim_names(pod).map(|claim| Key::new(namespace.clone(), claim).to_string()).collect()
    });
}

fn claim_keys(pod: &Pod) -> Vec<Key> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    claims::claim_names(pod).map(|claim| Key::new(namespace.clone(), claim)).collect()
}

/// The claim that a volume says it is for.
fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(Key::new(reference.namespace.clone()?, reference.name.clone()?))
}

fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

/// An object that went away or changed meanwhile: the change itself brings the next look.
fn ignore_gone<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
