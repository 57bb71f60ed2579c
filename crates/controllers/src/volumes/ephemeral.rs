//! Makes the claims that pods bring along in generic ephemeral volumes.
//!
//! Upstream: pkg/controller/volume/ephemeral. They go with their pod, by the garbage collector.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;

use crate::context::Context;
use crate::owners::controller_ref;
use crate::pods;

struct Reconciler {
    context: Context,
    pods: Store<Pod>,
    claims: Store<PersistentVolumeClaim>,
}

pub(crate) async fn start(context: Context) {
    let (pods, claims) = (context.hub.store::<Pod>(), context.hub.store::<PersistentVolumeClaim>());
    if !(pods.synced().await && claims.synced().await) {
        return;
    }
    Controller::new("ephemeral-volume", &context.hub)
        .watches(&pods, |change| match change.object() {
            pod if volumes(pod).next().is_some() => vec![Key::of(&**pod)],
            _ => Vec::new(),
        })
        .watches(&claims, |change| {
            // A claim that was deleted under its pod is made again.
            let meta = &change.object().metadata;
            let owners = meta.owner_references.iter().flatten().filter(|owner| owner.kind == "Pod");
            let namespace = meta.namespace.clone().unwrap_or_default();
            owners.map(|owner| Key::new(namespace.clone(), owner.name.clone())).collect()
        })
        .run(Arc::new(Reconciler { context: context.clone(), pods, claims }));
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    all.filter(|volume| volume.ephemeral.is_some())
}

/// The claim for a volume of the pod; none if the volume brings none along.
fn claim_for(pod: &Pod, volume: &Volume) -> Option<PersistentVolumeClaim> {
    let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
    let given = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        name: claims::claim_name(pod, volume),
        namespace: pod.metadata.namespace.clone(),
        labels: given.labels,
        annotations: given.annotations,
        owner_references: Some(vec![controller_ref(pod)]),
        ..ObjectMeta::default()
    };
    Some(PersistentVolumeClaim { metadata, spec: Some(template.spec.clone()), status: None })
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(pod) = self.pods.get(key) else { return Ok(Next::AwaitChange) };
        if pods::is_terminating(&pod) || pods::is_finished(&pod) {
            return Ok(Next::AwaitChange);
        }
        for claim in volumes(&pod).filter_map(|volume| claim_for(&pod, volume)) {
            self.ensure(&pod, claim).await?;
        }
        Ok(Next::AwaitChange)
    }
}

impl Reconciler {
    async fn ensure(&self, pod: &Pod, claim: PersistentVolumeClaim) -> Result<(), BoxError> {
        let key = Key::of(&claim);
        if let Some(existing) = self.claims.get(&key) {
            if !claims::is_owned_by(&existing, pod) {
                self.refuse(
                    pod,
                    format!("PVC {key} was not created for pod {} (pod is not owner)", Key::of(pod)),
                );
            }
            return Ok(());
        }
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), &claim).await {
            Ok(_) => Ok(()),
            Err(error) if client::is_already_exists(&error) || client::is_namespace_terminating(&error) => {
                Ok(())
            }
            Err(error) => {
                self.refuse(pod, format!("ephemeral volume controller failed to create PVC {key}: {error}"));
                Err(error.into())
            }
        }
    }

    fn refuse(&self, pod: &Pod, message: String) {
        let about = reference(pod);
        self.context.recorder.event(&about, EventType::Warning, "EphemeralVolumeClaimFailed", message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_claim_belongs_to_the_pod() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [], "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate":
                {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}}}, {"name": "w"}]}}))
        .expect("a pod");
        let made: Vec<_> = volumes(&pod).filter_map(|volume| claim_for(&pod, volume)).collect();
        let [claim] = made.as_slice() else { panic!("one claim") };
        assert_eq!(Key::of(claim).to_string(), "n/p-v");
        assert!(claims::is_owned_by(claim, &pod));
    }
}
