//! Writes down what was decided, and waits until the volumes are bound.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claims::annotations;
use client::Key;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::decision::{self, Decision};
use super::{NAME, VolumeBinding};
use crate::framework::{PreBind, Rejection, Verdict};
use crate::plugins::server_words;
use crate::pod_info::PodInfo;

/// How long volumes may take (upstream: `bindTimeoutSeconds`).
const PATIENCE: Duration = Duration::from_secs(600);

fn failed(why: impl Into<String>) -> Rejection {
    Rejection::error(NAME, why.into())
}

#[async_trait]
impl PreBind for VolumeBinding {
    async fn pre_bind(&self, pod: &PodInfo, node: &str) -> Verdict {
        let decision = self.assumed.lock().decision(&pod.uid);
        let (Some(decision), Some(client)) = (decision, &self.client) else { return Ok(()) };
        write(client, &decision, node).await.map_err(|error| failed(server_words(&error)))?;
        let bound = tokio::time::timeout(PATIENCE, self.all_bound(&decision, node)).await;
        bound.map_err(|_| failed("binding volumes: context deadline exceeded"))??;
        self.assumed.lock().forget(&pod.uid);
        Ok(())
    }
}

async fn write(client: &Client, decision: &Decision, node: &str) -> kube::Result<()> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    for (claim, volume) in &decision.matched {
        if let Some(bound) = claims::bound_to(volume, claim) {
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            volumes.replace(name, &PostParams::default(), &bound).await?;
        }
    }
    for claim in &decision.provisioned {
        if decision::annotation(claim, annotations::SELECTED_NODE) == Some(node) {
            continue;
        }
        // A patch: others may write to the claim meanwhile, its finalizer for one.
        let marks = json!({annotations::SELECTED_NODE: node});
        let patch = json!({"metadata": {"uid": claim.metadata.uid, "annotations": marks}});
        let key = Key::of(&**claim);
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &key.namespace);
        api.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(())
}

impl VolumeBinding {
    /// Looks again whenever a claim or a volume has changed.
    async fn all_bound(&self, decision: &Decision, node: &str) -> Verdict {
        let matched = decision.matched.iter().map(|(claim, _)| claim);
        let claims: Vec<_> = matched.chain(&decision.provisioned).cloned().collect();
        // The claim that was written may not have come back yet.
        let mut seen = Seen::default();
        loop {
            let changed = self.sources.claims_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.are_bound(&claims, node, &mut seen)? {
                return Ok(());
            }
            changed.await;
        }
    }

    fn are_bound(
        &self,
        claims: &[Arc<PersistentVolumeClaim>],
        node: &str,
        seen: &mut Seen,
    ) -> Result<bool, Rejection> {
        let mut all = true;
        for old in claims {
            let key = Key::of(&**old);
            let current = self.sources.claims.get(&key);
            let current = current.filter(|claim| claim.metadata.uid == old.metadata.uid);
            let Some(claim) = current else {
                return Err(failed(format!(
                    "error getting PVC {key}: persistentvolumeclaim \"{}\" not found",
                    key.name
                )));
            };
            if claim.metadata.deletion_timestamp.is_some() {
                return Err(failed(format!("persistentvolumeclaim \"{}\" is being deleted", key.name)));
            }
            if decision::is_bound(&claim) {
                self.check_node(&claim, node)?;
                continue;
            }
            all = false;
            seen.check(&claim, &key, node)?;
        }
        Ok(all)
    }

    /// What was made must be where the pod goes.
    fn check_node(&self, claim: &PersistentVolumeClaim, node: &str) -> Verdict {
        let volume =
            decision::volume_name(claim).and_then(|name| self.sources.volumes.get(&Key::new("", name)));
        let (Some(volume), Some(object)) = (volume, self.sources.nodes.get(&Key::new("", node))) else {
            return Ok(());
        };
        let labels = claims::NodeLabels { name: node, labels: object.metadata.labels.as_ref() };
        if claims::admits(&volume, labels) {
            return Ok(());
        }
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        let why = format!(
            "pv \"{name}\" node affinity doesn't match node \"{node}\": no matching NodeSelectorTerms"
        );
        Err(failed(why))
    }
}

/// Claims whose choice of a node has come back along the watch: a provisioner that gives up takes it off again.
#[derive(Default)]
struct Seen(std::collections::HashSet<Key>);

impl Seen {
    fn check(&mut self, claim: &PersistentVolumeClaim, key: &Key, node: &str) -> Verdict {
        match decision::annotation(claim, annotations::SELECTED_NODE) {
            Some(chosen) if chosen == node => {
                self.0.insert(key.clone());
                Ok(())
            }
            _ if self.0.contains(key) => Err(failed(format!("provisioning failed for PVC \"{}\"", key.name))),
            _ => Ok(()),
        }
    }
}
