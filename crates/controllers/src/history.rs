//! The revisions of a StatefulSet's or DaemonSet's template, kept as ControllerRevisions.
//!
//! Upstream: pkg/controller/history/controller_history.go. A revision's data is the patch that brings its template
//! back, as `kubectl rollout undo` applies it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::Store;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{Api, DeleteParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Client, Resource};
use serde_json::{Value, json};

use crate::deployment::template_hash;
use crate::owners;

/// What a pod is labelled with to tell its revision.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";

/// What a reconciler knows of the history of one owner.
pub(crate) struct History<'a, K> {
    pub client: Client,
    pub owner: &'a K,
    pub template: &'a PodTemplateSpec,
    /// The label that carries a revision's hash.
    pub hash_label: &'static str,
    pub collisions: Option<i32>,
}

/// The revision of the current template, and the count of collisions that its name needed.
pub(crate) struct Latest {
    pub revision: Arc<ControllerRevision>,
    pub collisions: Option<i32>,
}

impl<K: Resource<DynamicType = ()> + Clone> History<'_, K> {
    fn namespace(&self) -> String {
        self.owner.meta().namespace.clone().unwrap_or_default()
    }

    pub fn api(&self) -> Api<ControllerRevision> {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    /// The owner's revisions, oldest first; those without an owner that its selector picks are adopted.
    pub async fn revisions(
        &self,
        store: &Store<ControllerRevision>,
        selector: &LabelSelector,
        owner_live: impl Future<Output = kube::Result<bool>>,
    ) -> kube::Result<Vec<Arc<ControllerRevision>>> {
        let claim = owners::claim(self.owner, selector, store.in_namespace(&self.namespace()));
        let mut owned = claim.settle(&self.api(), &owners::controller_ref(self.owner), owner_live).await?;
        owned.sort_by_key(|revision| (revision.revision, revision.metadata.name.clone()));
        Ok(owned)
    }

    /// The revision of the current template: found, brought to the top again, or made.
    pub async fn latest(&self, known: &[Arc<ControllerRevision>]) -> kube::Result<Latest> {
        let data = patch_of(self.template);
        let top = known.last().map_or(0, |revision| revision.revision);
        let same =
            known.iter().rev().find(|revision| revision.data.as_ref().map(|data| &data.0) == Some(&data));
        let Some(same) = same else { return self.create(&data, top + 1).await };
        if same.revision == top {
            return Ok(Latest { revision: same.clone(), collisions: self.collisions });
        }
        let mut raised = (**same).clone();
        raised.revision = top + 1;
        let name = same.metadata.name.as_deref().unwrap_or_default();
        let raised = self.api().replace(name, &PostParams::default(), &raised).await?;
        Ok(Latest { revision: Arc::new(raised), collisions: self.collisions })
    }

    /// Another template may have the same hash: then the next count of collisions is tried.
    async fn create(&self, data: &Value, number: i64) -> kube::Result<Latest> {
        let mut collisions = self.collisions;
        loop {
            let revision = self.new_revision(data, number, collisions);
            match self.api().create(&PostParams::default(), &revision).await {
                Ok(made) => return Ok(Latest { revision: Arc::new(made), collisions }),
                Err(error) if client::is_already_exists(&error) => {
                    let known = self.api().get(revision.metadata.name.as_deref().unwrap_or_default()).await?;
                    let ours = owners::controller_of(&known).map(|owner| &owner.uid)
                        == self.owner.meta().uid.as_ref();
                    if ours && known.data.as_ref().map(|data| &data.0) == Some(data) {
                        return Ok(Latest { revision: Arc::new(known), collisions });
                    }
                    collisions = Some(collisions.unwrap_or(0) + 1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn new_revision(&self, data: &Value, number: i64, collisions: Option<i32>) -> ControllerRevision {
        let hash = template_hash(self.template, collisions);
        let meta = self.owner.meta();
        let labels = self.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone());
        let mut labels: BTreeMap<String, String> = labels.unwrap_or_default();
        labels.insert(self.hash_label.to_owned(), hash.clone());
        ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", meta.name.as_deref().unwrap_or_default())),
                namespace: meta.namespace.clone(),
                labels: Some(labels),
                annotations: meta.annotations.clone(),
                owner_references: Some(vec![owners::controller_ref(self.owner)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data.clone())),
            revision: number,
        }
    }

    /// Deletes the oldest revisions beyond `limit` that nothing in `live` (names or hashes) uses.
    pub async fn truncate(
        &self,
        known: &[Arc<ControllerRevision>],
        live: &BTreeSet<String>,
        limit: Option<i32>,
    ) -> kube::Result<()> {
        for revision in surplus(known, live, self.hash_label, limit.unwrap_or(10)) {
            let name = revision.metadata.name.as_deref().unwrap_or_default();
            match self.api().delete(name, &DeleteParams::default()).await {
                Err(error) if !client::is_not_found(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn surplus<'a>(
    known: &'a [Arc<ControllerRevision>],
    live: &BTreeSet<String>,
    hash_label: &str,
    limit: i32,
) -> Vec<&'a Arc<ControllerRevision>> {
    let used = |revision: &ControllerRevision| {
        let name = revision.metadata.name.as_ref();
        let hash = revision.metadata.labels.as_ref().and_then(|labels| labels.get(hash_label));
        name.into_iter().chain(hash).any(|word| live.contains(word))
    };
    let idle: Vec<_> = known.iter().filter(|revision| !used(revision)).collect();
    let count = idle.len().saturating_sub(limit.max(0) as usize);
    idle.into_iter().take(count).collect()
}

/// The patch that puts this template in place of any other.
fn patch_of(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).expect("a template has string keys and serializes");
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

/// The template of a revision; none where somebody has spoilt its data.
pub(crate) fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data.as_ref()?.0.get("spec")?.get("template")?;
    // Spoilt data names no template: the caller then uses the current one.
    serde_json::from_value(template.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(name: &str) -> Arc<ControllerRevision> {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Arc::new(ControllerRevision { metadata, ..ControllerRevision::default() })
    }

    #[test]
    fn the_oldest_idle_revisions_are_too_many() {
        let known = ["a", "b", "c", "d"].map(revision);
        let live = ["a".to_owned(), "d".to_owned()].into();
        let names = |limit| {
            let surplus = surplus(&known, &live, REVISION_LABEL, limit);
            surplus.iter().filter_map(|revision| revision.metadata.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["b"]);
        assert_eq!(names(0), ["b", "c"]);
        assert!(names(2).is_empty());
    }

    #[test]
    fn a_template_comes_back_from_its_patch() {
        let template: PodTemplateSpec = serde_json::from_value(json!({"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}))
        .expect("a template");
        let mut revision =
            ControllerRevision { data: Some(RawExtension(patch_of(&template))), ..Default::default() };
        assert_eq!(template_of(&revision), Some(template));
        revision.data = None;
        assert_eq!(template_of(&revision), None);
    }
}
