//! The names, labels and volumes that make a pod a member of its set. Pure.
//!
//! Upstream: pkg/controller/statefulset/stateful_set_utils.go.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};

use crate::history::{REVISION_LABEL, template_of};
use crate::owners;
use crate::pod_control::from_template;

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// A template by the name of its revision.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub name: String,
    pub template: PodTemplateSpec,
}

impl Revision {
    pub fn of(revision: &Arc<ControllerRevision>, spec: &StatefulSetSpec) -> Self {
        Self {
            name: revision.metadata.name.clone().unwrap_or_default(),
            template: template_of(revision).unwrap_or_else(|| spec.template.clone()),
        }
    }
}

pub(super) fn name(set: &StatefulSet) -> &str {
    set.metadata.name.as_deref().unwrap_or_default()
}

/// The number at the end of a pod's name, if it is one of the set's.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let rest = pod.metadata.name.as_deref()?.strip_prefix(name(set))?.strip_prefix('-')?;
    // Digits only: what else stands there makes it no member.
    rest.parse().ok().filter(|_| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn revision_of(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(REVISION_LABEL).map(String::as_str)
}

/// The member `ordinal` of a revision.
pub(super) fn new_pod(set: &StatefulSet, spec: &StatefulSetSpec, revision: &Revision, ordinal: i32) -> Pod {
    let mut pod = from_template(revision.template.clone());
    pod.metadata.name = Some(format!("{}-{ordinal}", name(set)));
    pod.metadata.namespace = set.metadata.namespace.clone();
    pod.metadata.owner_references = Some(vec![owners::controller_ref(set)]);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision.name.clone());
    if let Some(pod_spec) = &mut pod.spec {
        pod_spec.hostname = pod.metadata.name.clone();
        pod_spec.subdomain = spec.service_name.clone().filter(|name| !name.is_empty());
    }
    identify(set, &mut pod, ordinal);
    give_storage(set, spec, &mut pod, ordinal);
    pod
}

fn identify(set: &StatefulSet, pod: &mut Pod, ordinal: i32) {
    let name = format!("{}-{ordinal}", name(set));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(POD_INDEX.to_owned(), ordinal.to_string());
    labels.insert(POD_NAME.to_owned(), name);
}

/// The pod as it must look; none where it does.
pub(super) fn corrected(set: &StatefulSet, spec: &StatefulSetSpec, pod: &Pod, ordinal: i32) -> Option<Pod> {
    let mut fixed = pod.clone();
    identify(set, &mut fixed, ordinal);
    (fixed.metadata.labels != pod.metadata.labels || !storage_matches(set, spec, pod, ordinal)).then(|| {
        give_storage(set, spec, &mut fixed, ordinal);
        fixed
    })
}

fn storage_matches(set: &StatefulSet, spec: &StatefulSetSpec, pod: &Pod, ordinal: i32) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    claims(set, spec, ordinal).iter().all(|(volume, claim)| {
        let found = volumes.into_iter().flatten().find(|known| known.name == *volume);
        let source = found.and_then(|found| found.persistent_volume_claim.as_ref());
        source.is_some_and(|source| Some(&source.claim_name) == claim.metadata.name.as_ref())
    })
}

fn give_storage(set: &StatefulSet, spec: &StatefulSetSpec, pod: &mut Pod, ordinal: i32) {
    let claims = claims(set, spec, ordinal);
    let Some(pod_spec) = &mut pod.spec else { return };
    let mut volumes: Vec<Volume> = claims
        .iter()
        .map(|(volume, claim)| Volume {
            name: volume.clone(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.metadata.name.clone().unwrap_or_default(),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    let others = pod_spec.volumes.take().unwrap_or_default();
    volumes.extend(others.into_iter().filter(|other| claims.iter().all(|(volume, _)| *volume != other.name)));
    pod_spec.volumes = (!volumes.is_empty()).then_some(volumes);
}

/// The claims of a member, each with the name of its volume.
pub(super) fn claims(
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    ordinal: i32,
) -> Vec<(String, PersistentVolumeClaim)> {
    let templates = spec.volume_claim_templates.clone().unwrap_or_default();
    let make = |mut claim: PersistentVolumeClaim| {
        let volume = claim.metadata.name.clone().unwrap_or_default();
        claim.metadata.name = Some(format!("{volume}-{}-{ordinal}", name(set)));
        claim.metadata.namespace = set.metadata.namespace.clone();
        let labels = claim.metadata.labels.get_or_insert_default();
        labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
        claim.status = None;
        (volume, claim)
    };
    templates.into_iter().map(make).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_is_known_by_name_labels_and_claims() {
        let set: StatefulSet = serde_json::from_value(json!({"metadata": {"name": "db", "namespace": "n", "uid": "u"},
            "spec": {"serviceName": "s", "selector": {"matchLabels": {"app": "db"}},
                "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [], "volumes": [{"name": "data"}, {"name": "x"}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}}))
        .expect("a set");
        let spec = set.spec.clone().expect("has one");
        let revision = Revision { name: "db-1".into(), template: spec.template.clone() };
        let pod = new_pod(&set, &spec, &revision, 3);
        assert_eq!((ordinal(&set, &pod), revision_of(&pod)), (Some(3), Some("db-1")));
        let told = serde_json::to_value(&pod).expect("serializes");
        assert_eq!(told["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "3");
        assert_eq!(told["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "db-3");
        assert_eq!((&told["spec"]["hostname"], &told["spec"]["subdomain"]), (&json!("db-3"), &json!("s")));
        assert_eq!(
            told["spec"]["volumes"],
            json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-3"}}, {"name": "x"}])
        );
        assert!(corrected(&set, &spec, &pod, 3).is_none());
        let mut stripped = pod.clone();
        stripped.metadata.labels = None;
        assert!(corrected(&set, &spec, &stripped, 3).is_some());
        for stranger in ["db-", "db-x", "db-+1", "other-1"] {
            stripped.metadata.name = Some(stranger.into());
            assert_eq!(ordinal(&set, &stripped), None, "{stranger}");
        }
    }
}
