//! VolumeZone: a volume labeled with zones or regions is used there only.
//!
//! Upstream: plugins/volumezone.

use std::sync::Arc;

use client::Key;
use k8s_openapi::api::core::v1::PersistentVolume;

use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Event, Filter, Hint, Kinds, Plugin, PreFilter, PreFiltered, Rejection, Verdict,
};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::sources::Sources;

const NAME: &str = "VolumeZone";
const REASON: &str = "node(s) had no available volume zone";

/// Labels as they are written today, with what they were called before.
const LABELS: [(&str, &str); 2] = [
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
];

pub(super) struct VolumeZone {
    sources: Sources,
}

/// For each label of a volume, by either name, the places that will do.
#[derive(Clone)]
struct Places(Vec<(&'static str, &'static str, Vec<String>)>);

impl VolumeZone {
    pub(super) fn new(sources: &Sources) -> Self {
        Self { sources: sources.clone() }
    }

    fn volume(&self, claim: &Key) -> Option<Arc<PersistentVolume>> {
        let claim = self.sources.claims.get(claim)?;
        let name = claim.spec.as_ref()?.volume_name.clone().filter(|name| !name.is_empty())?;
        self.sources.volumes.get(&Key::new("", name))
    }
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::CLAIM | Kinds::VOLUME | Kinds::STORAGE_CLASS | Kinds::NODE_ADD | Kinds::NODE_LABEL
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        Hint::queue_if(event.claim.is_none_or(|claim| pod.claims.contains(claim)))
    }
}

fn places(volume: &PersistentVolume) -> impl Iterator<Item = (&'static str, &'static str, Vec<String>)> + '_ {
    let value = |key: &str| volume.metadata.labels.as_ref()?.get(key);
    LABELS.iter().filter_map(move |(today, before)| {
        // Several places are told apart by two underscores.
        let all = value(today).or_else(|| value(before))?;
        Some((*today, *before, all.split("__").map(str::to_owned).collect()))
    })
}

impl PreFilter for VolumeZone {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        _: &Snapshot,
    ) -> Result<PreFiltered, Rejection> {
        let volumes = pod.claims.iter().filter_map(|claim| self.volume(claim));
        let all: Vec<_> = volumes.flat_map(|volume| places(&volume).collect::<Vec<_>>()).collect();
        if all.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        state.put(Places(all));
        Ok(PreFiltered::AllNodes)
    }
}

impl Filter for VolumeZone {
    fn filter(&self, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let Some(Places(all)) = state.get::<Places>() else { return Ok(()) };
        let placed = LABELS.iter().any(|(today, before)| node.label(today).or(node.label(before)).is_some());
        // A cluster without zones has nothing to keep apart.
        let fits = |(today, before, places): &(&str, &str, Vec<String>)| {
            let here = node.label(today).or(node.label(before));
            here.is_some_and(|here| places.iter().any(|place| place == here))
        };
        if !placed || all.iter().all(fits) { Ok(()) } else { Err(Rejection::unresolvable(NAME, REASON)) }
    }
}

#[cfg(test)]
mod tests {
    use client::Store;
    use serde_json::json;

    use super::*;
    use crate::testing::{node_from, pod_with};

    #[test]
    fn a_volume_stays_in_its_zones() {
        let mut sources = Sources::none();
        let claim = json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {"volumeName": "v"}});
        let volume = json!({"metadata": {"name": "v", "labels": {"topology.kubernetes.io/zone": "a__b"}}});
        sources.claims = Store::fixed([serde_json::from_value(claim).expect("a claim")]);
        sources.volumes = Store::fixed([serde_json::from_value(volume).expect("a volume")]);
        let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let pod = pod_with("p", "", json!({"volumes": [volume]}));
        let (plugin, mut state) = (VolumeZone::new(&sources), CycleState::default());
        assert!(plugin.pre_filter(&mut state, &pod, &Snapshot::default()).is_ok());
        for (labels, fits) in [
            (json!({"topology.kubernetes.io/zone": "b"}), true),
            (json!({"failure-domain.beta.kubernetes.io/zone": "a"}), true),
            (json!({"topology.kubernetes.io/zone": "c"}), false),
            (json!({"topology.kubernetes.io/region": "a"}), false),
            (json!({}), true),
        ] {
            let mut node = NodeInfo::new("n");
            node.set_node(node_from(json!({"metadata": {"name": "n", "labels": labels}})));
            assert_eq!(plugin.filter(&state, &pod, &node).is_ok(), fits, "{labels}");
        }
    }
}
