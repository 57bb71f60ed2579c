//! The claims of members: made before their pods, and owned as the retention policy says.
//!
//! Upstream: pkg/controller/statefulset/stateful_pod_control.go, stateful_set_utils.go `updateClaimOwnerRefForSetAndPod`.

use std::sync::Arc;

use client::{EventType, Key, Store, reference};
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::PostParams;

use super::identity::{claims, name};
use crate::context::Context;
use crate::owners;
use crate::pod_control::told;

/// Why a member's claims are not in order.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("pvc {name} is being deleted")]
    Leaving { name: String },
    #[error("cannot create claim {name}")]
    Create { name: String, source: kube::Error },
    #[error("cannot update claim {name}")]
    Update { name: String, source: kube::Error },
}

/// The claims of one set.
pub(super) struct Claims<'a> {
    pub context: &'a Context,
    pub store: &'a Store<PersistentVolumeClaim>,
    pub set: &'a StatefulSet,
    pub spec: &'a StatefulSetSpec,
}

impl Claims<'_> {
    fn api(&self) -> Api<PersistentVolumeClaim> {
        let namespace = self.set.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced(self.context.client.clone(), namespace)
    }

    fn known(&self, claim: &PersistentVolumeClaim) -> Option<Arc<PersistentVolumeClaim>> {
        self.store.get(&Key::of(claim))
    }

    /// Whether a claim still belongs to a member of this name that is gone, and is about to go with it.
    pub fn are_stale(&self, ordinal: i32) -> bool {
        let pod = format!("{}-{ordinal}", name(self.set));
        claims(self.set, self.spec, ordinal).iter().filter_map(|(_, claim)| self.known(claim)).any(|claim| {
            let owners = claim.metadata.owner_references.iter().flatten();
            owners.into_iter().any(|owner| owner.kind == "Pod" && owner.name == pod)
        })
    }

    /// Makes those that are missing.
    pub async fn make(&self, ordinal: i32) -> Result<(), Error> {
        for (_, mut claim) in claims(self.set, self.spec, ordinal) {
            let name = claim.metadata.name.clone().unwrap_or_default();
            match self.known(&claim) {
                Some(known) if known.metadata.deletion_timestamp.is_some() => {
                    return Err(Error::Leaving { name });
                }
                Some(_) => continue,
                None => {}
            }
            claim.metadata.owner_references = self.owners(&[], ordinal, None);
            match self.api().create(&PostParams::default(), &claim).await {
                Ok(_) => self.say(EventType::Normal, ordinal, &name, None),
                Err(error) if client::is_already_exists(&error) => {}
                Err(error) => {
                    self.say(EventType::Warning, ordinal, &name, Some(told(&error)));
                    return Err(Error::Create { name, source: error });
                }
            }
        }
        Ok(())
    }

    fn say(&self, kind: EventType, ordinal: i32, claim: &str, error: Option<String>) {
        let set = name(self.set);
        let about = format!("create Claim {claim} Pod {set}-{ordinal} in StatefulSet {set}");
        let (reason, message) = match error {
            None => ("SuccessfulCreate", format!("{about} success")),
            Some(error) => ("FailedCreate", format!("{about} failed error: {error}")),
        };
        self.context.recorder.event(&reference(self.set), kind, reason, message);
    }

    /// Brings the owners of a member's claims in line with the policy.
    pub async fn tend(&self, ordinal: i32, pod: &Pod, is_member: bool) -> Result<(), Error> {
        for (_, claim) in claims(self.set, self.spec, ordinal) {
            let Some(known) = self.known(&claim) else { continue };
            let old = known.metadata.owner_references.clone().unwrap_or_default();
            let wanted = self.owners(&old, ordinal, (!is_member).then_some(pod));
            if wanted.clone().unwrap_or_default() == old {
                continue;
            }
            let mut changed = (*known).clone();
            changed.metadata.owner_references = wanted;
            let name = claim.metadata.name.clone().unwrap_or_default();
            match self.api().replace(&name, &PostParams::default(), &changed).await {
                Err(source) if !client::is_not_found(&source) => return Err(Error::Update { name, source }),
                _ => {}
            }
        }
        Ok(())
    }

    /// Others' references, and those of the set and of a condemned pod where the policy wants them.
    fn owners(
        &self,
        old: &[OwnerReference],
        ordinal: i32,
        condemned: Option<&Pod>,
    ) -> Option<Vec<OwnerReference>> {
        let policy = self.spec.persistent_volume_claim_retention_policy.clone().unwrap_or_default();
        let deletes = |when: Option<&str>| when == Some("Delete");
        let pod_name = format!("{}-{ordinal}", name(self.set));
        let foreign = |owner: &OwnerReference| {
            let is_set = Some(&owner.uid) == self.set.metadata.uid.as_ref();
            let is_pod = owner.kind == "Pod" && owner.name == pod_name;
            !(is_set || is_pod)
        };
        let mut owners: Vec<_> = old.iter().filter(|owner| foreign(owner)).cloned().collect();
        match condemned {
            Some(pod) if deletes(policy.when_scaled.as_deref()) => owners.push(owners::controller_ref(pod)),
            _ if deletes(policy.when_deleted.as_deref()) => owners.push(owners::controller_ref(self.set)),
            _ => {}
        }
        (!owners.is_empty()).then_some(owners)
    }
}
