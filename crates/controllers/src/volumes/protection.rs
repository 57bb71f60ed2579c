//! Keeps claims that pods use, and volumes that are bound, from being deleted under them.
//!
//! Upstream: pkg/controller/volume/pvcprotection, pvprotection.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{ListParams, PostParams};

use super::{BY_CLAIM, claim_keys, ignore_gone, index_by_claim};
use crate::context::Context;
use crate::pods;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// What has to be done about a finalizer.
#[derive(Debug, PartialEq)]
enum Plan {
    Keep,
    Add,
    Remove,
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    InUse,
    Free,
}

fn plan(meta: &ObjectMeta, finalizer: &str, used: Use) -> Plan {
    let has = meta.finalizers.iter().flatten().any(|name| name == finalizer);
    match (meta.deletion_timestamp.is_some(), has) {
        (true, true) if used == Use::Free => Plan::Remove,
        (false, false) => Plan::Add,
        _ => Plan::Keep,
    }
}

/// The metadata with the finalizer added or removed.
fn changed(meta: &ObjectMeta, finalizer: &str, plan: &Plan) -> ObjectMeta {
    let mut meta = meta.clone();
    let finalizers = meta.finalizers.get_or_insert_default();
    finalizers.retain(|name| name != finalizer);
    if *plan == Plan::Add {
        finalizers.push(finalizer.to_owned());
    }
    meta
}

struct Claims {
    context: Context,
    claims: Store<PersistentVolumeClaim>,
    pods: Store<Pod>,
}

pub(crate) async fn start_claims(context: Context) {
    let (claims, pods) = (context.hub.store::<PersistentVolumeClaim>(), context.hub.store::<Pod>());
    index_by_claim(&pods);
    if !(claims.synced().await && pods.synced().await) {
        return;
    }
    Controller::new("pvc-protection", &context.hub)
        .reconciles(&claims)
        .watches(&pods, |change| claim_keys(change.object()))
        .run(Arc::new(Claims { context: context.clone(), claims, pods }));
}

/// Whether the pod holds the claim: it has a node, and has not ended there.
fn holds(pod: &Pod, claim: &Key) -> bool {
    pods::node_name(pod).is_some() && !pods::is_finished(pod) && claim_keys(pod).contains(claim)
}

#[async_trait]
impl Reconcile for Claims {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(claim) = self.claims.get(key) else { return Ok(Next::AwaitChange) };
        let known = self.pods.by_index(BY_CLAIM, &key.to_string());
        let used = if known.iter().any(|pod| holds(pod, key)) { Use::InUse } else { Use::Free };
        let plan = plan(&claim.metadata, CLAIM_FINALIZER, used);
        if plan == Plan::Keep || (plan == Plan::Remove && self.is_held(key).await?) {
            return Ok(Next::AwaitChange);
        }
        let metadata = changed(&claim.metadata, CLAIM_FINALIZER, &plan);
        let claim = PersistentVolumeClaim { metadata, ..(*claim).clone() };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), &key.namespace);
        ignore_gone(api.replace(&key.name, &PostParams::default(), &claim).await)?;
        Ok(Next::AwaitChange)
    }
}

impl Claims {
    /// The cache may not know yet of a pod that was just scheduled: the server is asked.
    async fn is_held(&self, key: &Key) -> kube::Result<bool> {
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let live = api.list(&ListParams::default()).await?;
        Ok(live.items.iter().any(|pod| holds(pod, key)))
    }
}

struct Volumes {
    context: Context,
    volumes: Store<PersistentVolume>,
}

pub(crate) async fn start_volumes(context: Context) {
    let volumes = context.hub.store::<PersistentVolume>();
    if !volumes.synced().await {
        return;
    }
    Controller::new("pv-protection", &context.hub)
        .reconciles(&volumes)
        .run(Arc::new(Volumes { context: context.clone(), volumes }));
}

#[async_trait]
impl Reconcile for Volumes {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(volume) = self.volumes.get(key) else { return Ok(Next::AwaitChange) };
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        let used = if phase == Some("Bound") { Use::InUse } else { Use::Free };
        let plan = plan(&volume.metadata, VOLUME_FINALIZER, used);
        if plan == Plan::Keep {
            return Ok(Next::AwaitChange);
        }
        let metadata = changed(&volume.metadata, VOLUME_FINALIZER, &plan);
        let volume = PersistentVolume { metadata, ..(*volume).clone() };
        let api: Api<PersistentVolume> = Api::all(self.context.client.clone());
        ignore_gone(api.replace(&key.name, &PostParams::default(), &volume).await)?;
        Ok(Next::AwaitChange)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finalizer_stays_while_in_use() {
        let meta = |deleting: bool, has: bool| -> ObjectMeta {
            let mut value = json!({"name": "x"});
            if deleting {
                value["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            if has {
                value["finalizers"] = json!(["other", CLAIM_FINALIZER]);
            }
            serde_json::from_value(value).expect("metadata")
        };
        for (deleting, has, used, expected) in [
            (false, false, Use::Free, Plan::Add),
            (false, true, Use::Free, Plan::Keep),
            (true, true, Use::InUse, Plan::Keep),
            (true, true, Use::Free, Plan::Remove),
            (true, false, Use::Free, Plan::Keep),
        ] {
            assert_eq!(plan(&meta(deleting, has), CLAIM_FINALIZER, used), expected);
        }
        let removed = changed(&meta(true, true), CLAIM_FINALIZER, &Plan::Remove);
        assert_eq!(removed.finalizers, Some(vec!["other".to_owned()]));
    }
}
