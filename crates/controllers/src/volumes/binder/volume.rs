//! A volume: free, bound, or released and to be reclaimed.

use async_trait::async_trait;
use claims::annotations;
use client::{BoxError, EventType, Key, Next, Queue, Reconcile, reference};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::PostParams;

use super::World;
use super::claim::with_phase;
use crate::context::Context;
use crate::volumes::volume_name;

pub(super) struct Reconciler {
    pub context: Context,
    pub world: World,
    pub claim_queue: Queue<Key>,
}

#[derive(Debug, PartialEq)]
enum Plan {
    Phase(&'static str),
    /// The claim has to take the next step.
    AskClaim,
    /// The claim has another volume: this one is free again.
    Unbind,
    /// The claim is gone, if the server says so too.
    Release,
    /// Cannot be reclaimed: reason and message.
    Fail(&'static str, String),
    Nothing,
}

/// `claim` is the one that the volume refers to.
fn plan(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> Plan {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let Some(uid) = reference.map(|reference| reference.uid.as_deref().unwrap_or_default()) else {
        return Plan::Phase("Available");
    };
    if uid.is_empty() {
        return Plan::Phase("Available");
    }
    let Some(claim) = claim.filter(|claim| claim.metadata.uid.as_deref() == Some(uid)) else {
        return gone(volume);
    };
    match volume_name(claim) {
        None => Plan::AskClaim,
        Some(name) if Some(name) == volume.metadata.name.as_deref() => Plan::Phase("Bound"),
        Some(_) if was_provisioned(volume) && policy(volume) == "Delete" => gone(volume),
        Some(_) => Plan::Unbind,
    }
}

fn policy(volume: &PersistentVolume) -> &str {
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    policy.unwrap_or("Retain")
}

fn was_provisioned(volume: &PersistentVolume) -> bool {
    let marks = volume.metadata.annotations.as_ref();
    marks.is_some_and(|marks| marks.contains_key(annotations::PROVISIONED_BY))
}

fn gone(volume: &PersistentVolume) -> Plan {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    match phase {
        Some("Failed") => Plan::Nothing,
        Some("Released") => reclaim(volume),
        _ => Plan::Release,
    }
}

/// Whoever made the volume deletes it; what people made can only be kept.
fn reclaim(volume: &PersistentVolume) -> Plan {
    if was_provisioned(volume) {
        return Plan::Nothing;
    }
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    match policy(volume) {
        "Delete" => {
            let why = format!(
                "error getting deleter volume plugin for volume \"{name}\": no deletable volume plugin matched"
            );
            Plan::Fail("VolumeFailedDelete", why)
        }
        "Recycle" => Plan::Fail("VolumeFailedRecycle", "No recycler plugin found for the volume!".to_owned()),
        _ => Plan::Nothing,
    }
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(volume) = self.world.volumes.get(key) else { return Ok(Next::AwaitChange) };
        let claim_key = crate::volumes::claim_of(&volume);
        let claim = claim_key.as_ref().and_then(|key| self.world.claims.get(key));
        match plan(&volume, claim.as_deref()) {
            Plan::Nothing => {}
            Plan::Phase(phase) => self.set_phase(&volume, phase, None).await?,
            Plan::AskClaim => claim_key.into_iter().for_each(|key| self.claim_queue.add(key)),
            Plan::Unbind => self.unbind(&volume).await?,
            Plan::Release if self.is_wanted(&volume).await? => {}
            Plan::Release => self.set_phase(&volume, "Released", None).await?,
            Plan::Fail(reason, message) => {
                let about = reference(&*volume);
                self.context.recorder.event(&about, EventType::Warning, reason, message.clone());
                self.set_phase(&volume, "Failed", Some((reason, message))).await?;
            }
        }
        Ok(Next::AwaitChange)
    }
}

impl Reconciler {
    fn api(&self) -> Api<PersistentVolume> {
        Api::all(self.context.client.clone())
    }

    async fn set_phase(
        &self,
        volume: &PersistentVolume,
        phase: &str,
        message: Option<(&str, String)>,
    ) -> kube::Result<()> {
        let Some(changed) = with_phase(volume, phase, message, Time(self.context.clock.now())) else {
            return Ok(());
        };
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        self.api().replace_status(name, &PostParams::default(), &changed).await.map(drop)
    }

    /// Data may be lost by releasing: the server is asked, not only the cache.
    async fn is_wanted(&self, volume: &PersistentVolume) -> kube::Result<bool> {
        let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        let Some(reference) = reference else { return Ok(false) };
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), namespace);
        let live = api.get_opt(reference.name.as_deref().unwrap_or_default()).await?;
        Ok(live.is_some_and(|claim| {
            let own = volume_name(&claim).is_none_or(|name| Some(name) == volume.metadata.name.as_deref());
            claim.metadata.uid == reference.uid && own
        }))
    }

    async fn unbind(&self, volume: &PersistentVolume) -> kube::Result<()> {
        let mut free = volume.clone();
        let spec = free.spec.get_or_insert_default();
        let marks = free.metadata.annotations.get_or_insert_default();
        if marks.remove(annotations::BOUND_BY_CONTROLLER).is_some() {
            spec.claim_ref = None;
        } else if let Some(reference) = &mut spec.claim_ref {
            // Somebody set it aside for a claim of that name.
            reference.uid = None;
        }
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        let written = self.api().replace(name, &PostParams::default(), &free).await?;
        self.set_phase(&written, "Available", None).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(volume: Value, claim: Value, expected: Plan) {
        let mut value = json!({"metadata": {"name": "v", "annotations": volume["annotations"]}, "spec": volume["spec"],
            "status": volume["status"]});
        if value["metadata"]["annotations"].is_null() {
            value["metadata"]["annotations"] = json!({});
        }
        let volume: PersistentVolume = serde_json::from_value(value).expect("a volume");
        let claim: Option<PersistentVolumeClaim> =
            (!claim.is_null()).then(|| serde_json::from_value(claim).expect("a claim"));
        assert_eq!(plan(&volume, claim.as_ref()), expected);
    }

    #[test]
    fn phases() {
        let bound = json!({"claimRef": {"name": "p", "namespace": "n", "uid": "u"}});
        let claim = |uid: &str, volume: &str| json!({"metadata": {"name": "p", "namespace": "n", "uid": uid}, "spec": {"volumeName": volume}});
        check(json!({"spec": {}}), Value::Null, Plan::Phase("Available"));
        check(json!({"spec": {"claimRef": {"name": "p"}}}), Value::Null, Plan::Phase("Available"));
        check(json!({"spec": bound}), claim("u", "v"), Plan::Phase("Bound"));
        check(json!({"spec": bound}), claim("u", ""), Plan::AskClaim);
        check(json!({"spec": bound}), claim("u", "w"), Plan::Unbind);
        check(json!({"spec": bound}), claim("other", "v"), Plan::Release);
        check(json!({"spec": bound}), Value::Null, Plan::Release);
        check(json!({"spec": bound, "status": {"phase": "Released"}}), Value::Null, Plan::Nothing);
        let mut doomed = bound.clone();
        doomed["persistentVolumeReclaimPolicy"] = json!("Delete");
        let status = json!({"phase": "Released"});
        let made = json!({annotations::PROVISIONED_BY: "p"});
        check(json!({"spec": doomed, "status": status, "annotations": made}), Value::Null, Plan::Nothing);
        let why = "error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched";
        let failed = Plan::Fail("VolumeFailedDelete", why.to_owned());
        check(json!({"spec": doomed, "status": status}), Value::Null, failed);
    }
}
