//! Grows volumes whose claims ask for more.
//!
//! Upstream: pkg/controller/volume/expand. Volumes of the local-path provisioner are folders, which grow by name alone;
//! others are their own provisioner's to grow.

use std::sync::Arc;

use async_trait::async_trait;
use claims::local_path;
use client::{BoxError, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::volume_name;
use crate::context::Context;

struct Reconciler {
    context: Context,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
}

pub(crate) async fn start(context: Context) {
    let (claims, volumes) =
        (context.hub.store::<PersistentVolumeClaim>(), context.hub.store::<PersistentVolume>());
    if !(claims.synced().await && volumes.synced().await) {
        return;
    }
    Controller::new("persistentvolume-expander", &context.hub)
        .reconciles(&claims)
        .run(Arc::new(Reconciler { context: context.clone(), claims, volumes }));
}

/// Whether a bound claim asks for more than it was last given.
fn wants_more(claim: &PersistentVolumeClaim) -> bool {
    let status = claim.status.as_ref();
    let bound = status.and_then(|status| status.phase.as_deref()) == Some("Bound");
    let has = status.and_then(|status| status.capacity.as_ref()).and_then(|list| list.get("storage"));
    let has: Option<api::Quantity> = has.and_then(|quantity| quantity.0.parse().ok());
    bound && has.is_some_and(|has| claims::requested(claim) > has)
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(claim) = self.claims.get(key).filter(|claim| wants_more(claim)) else {
            return Ok(Next::AwaitChange);
        };
        let volume = volume_name(&claim).and_then(|name| self.volumes.get(&Key::new("", name)));
        let Some(volume) = volume.filter(|volume| claims::is_bound_to(volume, &claim)) else {
            return Ok(Next::AwaitChange);
        };
        let about = reference(&*claim);
        if !local_path::is_local_path(&volume) {
            let message = "waiting for an external controller to expand this PVC";
            self.context.recorder.event(&about, EventType::Normal, "ExternalExpanding", message);
            return Ok(Next::AwaitChange);
        }
        self.grow(&claim, &volume).await?;
        self.context.recorder.event(
            &about,
            EventType::Normal,
            "VolumeResizeSuccessful",
            "Resize volume succeeded",
        );
        Ok(Next::AwaitChange)
    }
}

impl Reconciler {
    async fn grow(&self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> kube::Result<()> {
        let size = json!({"storage": claims::requested(claim).to_string()});
        let (client, params) = (self.context.client.clone(), PatchParams::default());
        if claims::capacity(volume) < claims::requested(claim) {
            let patch =
                Patch::Merge(json!({"metadata": {"uid": volume.metadata.uid}, "spec": {"capacity": size}}));
            let api: Api<PersistentVolume> = Api::all(client.clone());
            api.patch(volume.metadata.name.as_deref().unwrap_or_default(), &params, &patch).await?;
        }
        let patch =
            Patch::Merge(json!({"metadata": {"uid": claim.metadata.uid}, "status": {"capacity": size}}));
        let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client, namespace);
        api.patch_status(claim.metadata.name.as_deref().unwrap_or_default(), &params, &patch).await.map(drop)
    }
}
