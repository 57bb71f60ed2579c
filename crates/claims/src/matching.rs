//! Which of several volumes a claim gets.
//!
//! Upstream: component-helpers/storage/volume, `FindMatchingVolume`; `checkVolumeSatisfyClaim`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Quantity;
use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::affinity::{NodeLabels, admits};
use crate::annotations::BOUND_BY_CONTROLLER;
use crate::class;

/// Where the claim's pod will be.
#[derive(Clone, Copy)]
pub enum Ground<'a> {
    /// Anywhere: claims that bind at once.
    Any,
    /// Not known yet: only a volume that was set aside for the claim will do.
    Later,
    /// On this node.
    Node(NodeLabels<'a>),
}

fn storage(
    list: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
) -> Quantity {
    let found = list.and_then(|list| list.get("storage"));
    // What is no quantity counts as nothing: the server lets none through.
    found.and_then(|quantity| quantity.0.parse().ok()).unwrap_or(Quantity::ZERO)
}

/// How much the claim asks for.
pub fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    storage(resources.and_then(|resources| resources.requests.as_ref()))
}

/// How much the volume holds.
pub fn capacity(volume: &PersistentVolume) -> Quantity {
    storage(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()))
}

/// Whether the volume is the claim's, or set aside for it.
pub fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(reference) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else { return false };
    let uid = reference.uid.as_deref().unwrap_or_default();
    reference.name == claim.metadata.name
        && reference.namespace == claim.metadata.namespace
        && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

/// The volume with its reference to the claim; none if it has that already.
pub fn bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let mut bound = volume.clone();
    let spec = bound.spec.get_or_insert_default();
    let reference = spec.claim_ref.take();
    if reference.is_none() {
        let annotations = bound.metadata.annotations.get_or_insert_default();
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    let meta = &claim.metadata;
    spec.claim_ref = Some(ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: None,
    });
    let uid = reference.and_then(|reference| reference.uid);
    (uid != meta.uid || meta.uid.is_none()).then_some(bound)
}

/// Why the volume does not do for the claim that names it.
pub fn misfit(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let none = (PersistentVolumeSpec::default(), PersistentVolumeClaimSpec::default());
    let (has, wants) = (volume.spec.as_ref().unwrap_or(&none.0), claim.spec.as_ref().unwrap_or(&none.1));
    if capacity(volume) < requested(claim) {
        return Some("requested PV is too small");
    }
    if class::of_volume(volume) != class::of_claim(claim).unwrap_or_default() {
        return Some("storageClassName does not match");
    }
    if mode(has.volume_mode.as_deref()) != mode(wants.volume_mode.as_deref()) {
        return Some("incompatible volumeMode");
    }
    (!modes_suffice(has, wants)).then_some("incompatible accessMode")
}

fn mode(mode: Option<&str>) -> &str {
    mode.filter(|mode| !mode.is_empty()).unwrap_or("Filesystem")
}

fn modes_suffice(has: &PersistentVolumeSpec, wants: &PersistentVolumeClaimSpec) -> bool {
    let has = has.access_modes.as_deref().unwrap_or_default();
    wants.access_modes.iter().flatten().all(|mode| has.contains(mode))
}

/// The volume for the claim: the one set aside for it, or the smallest that does.
pub fn best<'a>(
    volumes: impl IntoIterator<Item = &'a Arc<PersistentVolume>>,
    claim: &PersistentVolumeClaim,
    ground: Ground<'_>,
) -> Option<&'a Arc<PersistentVolume>> {
    let mut smallest: Option<&Arc<PersistentVolume>> = None;
    let wants = claim.spec.as_ref()?;
    for volume in volumes {
        let Some(spec) = volume.spec.as_ref() else { continue };
        let large_enough = capacity(volume) >= requested(claim);
        let same_mode = mode(spec.volume_mode.as_deref()) == mode(wants.volume_mode.as_deref());
        if volume.metadata.deletion_timestamp.is_some()
            || !large_enough
            || !same_mode
            || !modes_suffice(spec, wants)
        {
            continue;
        }
        let reachable = match ground {
            Ground::Node(node) => admits(volume, node),
            Ground::Any | Ground::Later => true,
        };
        if is_bound_to(volume, claim) {
            // No other will do; nor will this one on another node.
            return reachable.then_some(volume);
        }
        let free = spec.claim_ref.is_none() && !matches!(ground, Ground::Later) && reachable;
        if free && does(volume, claim) && smallest.is_none_or(|other| capacity(volume) < capacity(other)) {
            smallest = Some(volume);
        }
    }
    smallest
}

fn does(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    phase == Some("Available")
        && selector.is_none_or(|selector| picks(selector, volume.metadata.labels.as_ref()))
        && class::of_volume(volume) == class::of_claim(claim).unwrap_or_default()
}

fn picks(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let value = |key: &str| labels.and_then(|labels| labels.get(key));
    selector.match_labels.iter().flatten().all(|(key, wanted)| value(key) == Some(wanted))
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let (value, values) =
                (value(&requirement.key), requirement.values.as_deref().unwrap_or_default());
            match requirement.operator.as_str() {
                "In" => value.is_some_and(|value| values.contains(value)),
                "NotIn" => !value.is_some_and(|value| values.contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(name: &str, size: &str, more: Value) -> Arc<PersistentVolume> {
        let mut value = json!({"metadata": {"name": name, "labels": {"v": name}}, "status": {"phase": "Available"},
            "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c"}});
        for (key, part) in more.as_object().expect("an object") {
            value["spec"][key] = part.clone();
        }
        Arc::new(serde_json::from_value(value).expect("a volume"))
    }

    fn claim(more: Value) -> PersistentVolumeClaim {
        let mut value = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {
            "storageClassName": "c", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
        for (key, part) in more.as_object().expect("an object") {
            value["spec"][key] = part.clone();
        }
        serde_json::from_value(value).expect("a claim")
    }

    fn found(volumes: &[Arc<PersistentVolume>], claim: &PersistentVolumeClaim, ground: Ground<'_>) -> String {
        let best = best(volumes, claim, ground).and_then(|volume| volume.metadata.name.clone());
        best.unwrap_or_default()
    }

    #[test]
    fn the_smallest_that_does() {
        let pinned = json!({"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions":
            [{"key": "h", "operator": "In", "values": ["a"]}]}]}}});
        let mut all = vec![
            volume("small", "1Gi", json!({})),
            volume("big", "5Gi", json!({})),
            volume("fits", "3Gi", json!({})),
            volume("pinned", "2Gi", pinned),
            volume("other", "2Gi", json!({"storageClassName": "d"})),
            volume("taken", "2Gi", json!({"claimRef": {"name": "q", "namespace": "n", "uid": "x"}})),
        ];
        assert_eq!(found(&all, &claim(json!({})), Ground::Any), "pinned");
        assert_eq!(found(&all, &claim(json!({})), Ground::Later), "");
        let (a, b) = ([("h".to_owned(), "a".to_owned())].into(), BTreeMap::new());
        let on = |labels| Ground::Node(NodeLabels { name: "x", labels: Some(labels) });
        assert_eq!(found(&all, &claim(json!({})), on(&a)), "pinned");
        assert_eq!(found(&all, &claim(json!({})), on(&b)), "fits");
        assert_eq!(
            found(&all, &claim(json!({"selector": {"matchLabels": {"v": "big"}}})), Ground::Any),
            "big"
        );
        assert_eq!(found(&all, &claim(json!({"accessModes": ["ReadWriteMany"]})), Ground::Any), "");
        assert_eq!(found(&all, &claim(json!({"volumeMode": "Block"})), Ground::Any), "");
        all.push(volume("mine", "9Gi", json!({"claimRef": {"name": "p", "namespace": "n"}})));
        assert_eq!(found(&all, &claim(json!({})), Ground::Later), "mine");
    }

    #[test]
    fn a_named_volume_must_do() {
        let fits = volume("v", "2Gi", json!({}));
        assert_eq!(misfit(&fits, &claim(json!({}))), None);
        assert_eq!(
            misfit(&volume("v", "1Gi", json!({})), &claim(json!({}))),
            Some("requested PV is too small")
        );
        assert_eq!(
            misfit(&fits, &claim(json!({"storageClassName": "d"}))),
            Some("storageClassName does not match")
        );
        let bound = bound_to(&fits, &claim(json!({}))).expect("changes");
        assert!(is_bound_to(&bound, &claim(json!({}))) && bound_to(&bound, &claim(json!({}))).is_none());
    }
}
