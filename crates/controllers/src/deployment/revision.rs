//! What makes a revision: the template's hash, the revision number, the annotations that carry history.
//!
//! Upstream: deployment/util/deployment_util.go.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::core::ObjectMeta;

use super::sets::{Sets, desired, fence};
use crate::owners;

pub(super) const HASH_LABEL: &str = "pod-template-hash";
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

type Annotations = BTreeMap<String, String>;

/// The letters of a hash in names: see stdx::Random.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Names the revision of a template. Differs: upstream hashes Go's print of the struct, which no other language
/// gives; the hash only has to be stable.
pub(crate) fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(template).expect("a template has string keys and serializes");
    if let Some(collisions) = collisions {
        bytes.extend(collisions.to_le_bytes());
    }
    let fnv =
        bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    fnv.to_string().bytes().map(|b| ALPHABET[usize::from(b) % ALPHABET.len()] as char).collect()
}

/// Sorts a Deployment's sets by whether they have its template; of several that do, the oldest is the new one.
pub(super) fn sort(deployment: &Deployment, mut owned: Vec<Arc<ReplicaSet>>) -> Sets {
    owned.sort_by_key(|set| (created(set), set.metadata.name.clone()));
    let template = deployment.spec.as_ref().map(|spec| without_hash(&spec.template));
    let is_new = |set: &Arc<ReplicaSet>| {
        let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref()).map(without_hash);
        own.is_some() && own == template
    };
    let new = owned.iter().position(is_new).map(|index| owned.remove(index));
    Sets { new, old: owned }
}

fn created(set: &ReplicaSet) -> Option<jiff::Timestamp> {
    set.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(metadata) = &mut template.metadata {
        if let Some(labels) = &mut metadata.labels {
            labels.remove(HASH_LABEL);
        }
        metadata.labels = metadata.labels.take().filter(|labels| !labels.is_empty());
        metadata.creation_timestamp = None;
    }
    template.metadata = template.metadata.filter(|metadata| *metadata != ObjectMeta::default());
    template
}

/// 0 for a set that has none yet.
pub(super) fn revision_of(annotations: Option<&Annotations>) -> i64 {
    let text = annotations.and_then(|annotations| annotations.get(REVISION));
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The revision that the new set must have: one more than the highest of the old ones.
pub(super) fn next_revision(sets: &Sets) -> i64 {
    sets.old.iter().map(|set| revision_of(set.metadata.annotations.as_ref())).max().unwrap_or(0) + 1
}

/// The set for the Deployment's current template.
pub(super) fn new_set(deployment: &Deployment, revision: i64, replicas: i32) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = template_hash(&spec.template, collisions);
    let mut template = spec.template;
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector;
    selector.match_labels.get_or_insert_default().insert(HASH_LABEL.to_owned(), hash.clone());
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{hash}")),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![owners::controller_ref(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    annotate_revision(&mut set, deployment, revision);
    annotate_sizes(&mut set, deployment);
    set
}

/// Copies the Deployment's annotations and raises the revision, remembering the one before.
pub(super) fn annotate_revision(set: &mut ReplicaSet, deployment: &Deployment, revision: i64) {
    let annotations = set.metadata.annotations.get_or_insert_default();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if is_copied(key) {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let old = revision_of(Some(annotations));
    if old >= revision {
        return;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    if old > 0 {
        let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&old.to_string());
    }
}

fn is_copied(key: &str) -> bool {
    ![LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS].contains(&key)
}

/// What the Deployment asked for when the set was last sized.
pub(super) fn annotate_sizes(set: &mut ReplicaSet, deployment: &Deployment) {
    let desired = desired(deployment);
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert(DESIRED_REPLICAS.to_owned(), desired.to_string());
    annotations.insert(MAX_REPLICAS.to_owned(), (desired + fence(deployment).surge).to_string());
}

/// Whether the Deployment's size changed since a set with pods was sized.
pub(super) fn is_scaling_event(deployment: &Deployment, sets: &Sets) -> bool {
    let active = sets.all().filter(|set| super::sets::wanted(set) > 0);
    let mut sized = active
        .filter_map(|set| set.metadata.annotations.as_ref()?.get(DESIRED_REPLICAS)?.parse::<i32>().ok());
    sized.any(|sized| sized != desired(deployment))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(image: &str) -> Deployment {
        serde_json::from_value(json!({"metadata": {"name": "d", "uid": "u", "annotations": {"a": "1", REVISION: "7"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": image}]}}}}))
        .expect("a deployment")
    }

    #[test]
    fn the_new_set_is_found_by_its_template() {
        let first = Arc::new(new_set(&deployment("one"), 1, 2));
        let second = Arc::new(new_set(&deployment("two"), 2, 2));
        assert_ne!(first.metadata.name, second.metadata.name);
        let sets = sort(&deployment("one"), vec![second.clone(), first.clone()]);
        assert_eq!(sets.new.as_ref(), Some(&first));
        assert_eq!(next_revision(&sets), 3);
    }

    #[test]
    fn going_back_raises_the_revision_and_keeps_the_history() {
        let mut set = new_set(&deployment("one"), 1, 2);
        annotate_revision(&mut set, &deployment("one"), 3);
        annotate_revision(&mut set, &deployment("one"), 5);
        let annotations = set.metadata.annotations.expect("annotated");
        assert_eq!((annotations[REVISION].as_str(), annotations[REVISION_HISTORY].as_str()), ("5", "1,3"));
        assert_eq!(annotations["a"], "1");
    }
}
