//! VolumeRestrictions: a ReadWriteOncePod claim serves one pod.
//!
//! Upstream: plugins/volumerestrictions. The cloud disks that upstream looks at are mounted by no kubelet any more.

use client::Key;

use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Event, Filter, Hint, Kinds, Plugin, PreFilter, PreFiltered, Rejection, Verdict,
};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::sources::Sources;

const NAME: &str = "VolumeRestrictions";
const REASON: &str =
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";

pub(super) struct VolumeRestrictions {
    sources: Sources,
}

/// The claims that one pod at a time may use, and how often others do.
#[derive(Clone)]
struct Exclusive {
    claims: Vec<Key>,
    conflicts: i64,
}

impl VolumeRestrictions {
    pub(super) fn new(sources: &Sources) -> Self {
        Self { sources: sources.clone() }
    }

    fn is_exclusive(&self, claim: &Key) -> bool {
        let claim = self.sources.claims.get(claim);
        let modes = claim.as_ref().and_then(|claim| claim.spec.as_ref()?.access_modes.as_ref());
        modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"))
    }
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::ASSIGNED_POD_DELETE | Kinds::NODE_ADD | Kinds::CLAIM
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        let shares = |other: &PodInfo| other.claims.iter().any(|claim| pod.claims.contains(claim));
        let claim = event.claim.is_none_or(|claim| pod.claims.contains(claim));
        Hint::queue_if(claim && event.pod.is_none_or(shares))
    }
}

impl PreFilter for VolumeRestrictions {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
    ) -> Result<PreFiltered, Rejection> {
        let claims: Vec<Key> = pod.claims.iter().filter(|claim| self.is_exclusive(claim)).cloned().collect();
        if claims.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        let conflicts = claims.iter().map(|claim| snapshot.users_of(claim) as i64).sum();
        state.put(Exclusive { claims, conflicts });
        Ok(PreFiltered::AllNodes)
    }

    fn add_pod(&self, state: &mut CycleState, _: &PodInfo, added: &PodInfo, _: &NodeInfo, _: &Snapshot) {
        change(state, added, 1);
    }

    fn remove_pod(&self, state: &mut CycleState, _: &PodInfo, removed: &PodInfo, _: &NodeInfo, _: &Snapshot) {
        change(state, removed, -1);
    }
}

fn change(state: &mut CycleState, other: &PodInfo, by: i64) {
    if let Some(exclusive) = state.get_mut::<Exclusive>() {
        let shared = other.claims.iter().filter(|claim| exclusive.claims.contains(claim)).count();
        exclusive.conflicts += by * shared as i64;
    }
}

impl Filter for VolumeRestrictions {
    fn filter(&self, state: &CycleState, _: &PodInfo, _: &NodeInfo) -> Verdict {
        match state.get::<Exclusive>() {
            Some(exclusive) if exclusive.conflicts > 0 => Err(Rejection::unschedulable(NAME, REASON)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use client::Store;
    use serde_json::json;

    use super::*;
    use crate::cache::Cache;
    use crate::testing::{node, pod_with};

    #[test]
    fn one_pod_at_a_time() {
        let mut sources = Sources::none();
        let claim = json!({"metadata": {"name": "c", "namespace": "default"}, "spec": {"accessModes": ["ReadWriteOncePod"]}});
        sources.claims = Store::fixed([serde_json::from_value(claim).expect("a claim")]);
        let uses = |name: &str, node: Option<&str>| {
            let volume = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
            pod_with(name, "", json!({"volumes": [volume], "nodeName": node}))
        };
        let plugin = VolumeRestrictions::new(&sources);
        let mut cache = Cache::default();
        cache.set_node(node("a", "1"));
        let mut state = CycleState::default();
        let fits = |state: &mut CycleState, cache: &Cache| {
            let pod = uses("p", None);
            assert!(plugin.pre_filter(state, &pod, cache.snapshot()).is_ok());
            plugin.filter(state, &pod, &cache.snapshot().nodes()[0]).is_ok()
        };
        assert!(fits(&mut state, &cache));
        cache.set_pod(uses("other", Some("a")));
        assert!(!fits(&mut state, &cache));
        cache.remove_pod("other");
        assert!(fits(&mut state, &cache));
    }
}
