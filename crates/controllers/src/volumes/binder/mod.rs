//! Binds claims to volumes, and lets volumes go whose claim is gone.
//!
//! Upstream: pkg/controller/volume/persistentvolume. Differs: plans first ([`claim`], [`volume`]), then acts, and looks
//! again when something changed, not every 15 s. No volume plugins: everything is made and deleted by provisioners.

mod claim;
mod volume;

use client::{Controller, Key, Store};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;

use super::{claim_of, index_by_claim};
use crate::context::Context;

/// What is known of the cluster.
#[derive(Clone)]
struct World {
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    classes: Store<StorageClass>,
    pods: Store<Pod>,
}

pub(crate) async fn start(context: Context) {
    let hub = &context.hub;
    let world = World { claims: hub.store(), volumes: hub.store(), classes: hub.store(), pods: hub.store() };
    index_by_claim(&world.pods);
    let World { claims, volumes, classes, pods } = &world;
    if !(claims.synced().await && volumes.synced().await && classes.synced().await && pods.synced().await) {
        return;
    }
    let (unbound, named) = (claims.clone(), claims.clone());
    let claim_work = Controller::new("persistent-volume-binder", hub)
        .workers(1)
        .reconciles(claims)
        .watches(classes, move |_| {
            let all = unbound.list();
            all.iter()
                .filter(|claim| super::volume_name(claim).is_none())
                .map(|claim| Key::of(&**claim))
                .collect()
        })
        .watches(volumes, move |change| claims_of_change(change.object(), &named));
    let claim_queue = claim_work.queue();
    claim_work.run(std::sync::Arc::new(claim::Reconciler { context: context.clone(), world: world.clone() }));
    Controller::new("persistent-volume-binder", hub)
        .workers(1)
        .reconciles(volumes)
        .watches(claims, |change| {
            super::volume_name(change.object()).map(|name| Key::new("", name)).into_iter().collect()
        })
        .watches(claims, volumes_of_claim(volumes.clone()))
        .run(std::sync::Arc::new(volume::Reconciler {
            context: context.clone(),
            world: world.clone(),
            claim_queue,
        }));
}

/// The claims that a change of a volume may help: its own, those that name it, and, if it is free, all that wait.
fn claims_of_change(volume: &PersistentVolume, claims: &Store<PersistentVolumeClaim>) -> Vec<Key> {
    let name = volume.metadata.name.as_deref();
    let own = claim_of(volume);
    let concerns = |claim: &PersistentVolumeClaim| match super::volume_name(claim) {
        Some(named) => Some(named) == name,
        None => own.is_none(),
    };
    let all = claims.list();
    let concerned = all.iter().filter(|claim| concerns(claim)).map(|claim| Key::of(&**claim));
    own.iter().cloned().chain(concerned).collect()
}

/// The volumes that say that they are for the claim.
fn volumes_of_claim(
    volumes: Store<PersistentVolume>,
) -> impl Fn(&client::Change<PersistentVolumeClaim>) -> Vec<Key> + Send + 'static {
    const BY_REFERENCE: &str = "claim reference";
    volumes
        .add_index(BY_REFERENCE, |volume| claim_of(volume).map(|key| key.to_string()).into_iter().collect());
    move |change| {
        let key = Key::of(&**change.object());
        volumes.by_index(BY_REFERENCE, &key.to_string()).iter().map(|volume| Key::of(&**volume)).collect()
    }
}
