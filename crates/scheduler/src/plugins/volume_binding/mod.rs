//! VolumeBinding: a pod goes where its volumes are, or can be made, and starts once they are bound.
//!
//! Upstream: plugins/volumebinding. [`decision`] says what a node offers, [`assumed`] keeps what is promised and not yet
//! seen, [`bind`] writes it down and waits.

mod assumed;
mod bind;
mod decision;

use std::sync::Arc;

use client::Key;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Client;
use parking_lot::Mutex;

use self::assumed::Assumed;
use self::decision::{Claims, Decision};
use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Event, Filter, Hint, Kinds, Plugin, PreFilter, PreFiltered, Rejection, RejectionKind,
    Reserve, Verdict,
};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;
use crate::sources::Sources;

const NAME: &str = "VolumeBinding";
const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";

pub(super) struct VolumeBinding {
    sources: Sources,
    client: Option<Client>,
    assumed: Arc<Mutex<Assumed>>,
}

impl VolumeBinding {
    pub(super) fn new(sources: &Sources, client: Option<Client>) -> Self {
        Self { sources: sources.clone(), client, assumed: Arc::default() }
    }

    fn decide(&self, claims: &Claims, node: &k8s_openapi::api::core::v1::Node) -> Decision {
        decision::decide(claims, node, &self.sources.classes, &self.assumed.lock())
    }
}

impl Plugin for VolumeBinding {
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

/// The pod's claims, or why it cannot start with them.
fn claims_of(pod: &PodInfo, sources: &Sources) -> Result<Vec<Arc<PersistentVolumeClaim>>, String> {
    let volumes = pod.spec().into_iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut found = Vec::new();
    for volume in volumes {
        let Some(name) = claims::claim_name(&pod.pod, volume) else { continue };
        let ephemeral = volume.ephemeral.is_some();
        let claim = sources.claims.get(&Key::new(pod.key.namespace.clone(), name.clone()));
        found.push(usable(&pod.pod, &name, ephemeral.then_some(&pod.key), claim)?);
    }
    Ok(found)
}

/// `owner` is the pod's key where the claim has to be its own.
fn usable(
    pod: &Pod,
    name: &str,
    owner: Option<&Key>,
    claim: Option<Arc<PersistentVolumeClaim>>,
) -> Result<Arc<PersistentVolumeClaim>, String> {
    let Some(claim) = claim else {
        return Err(match owner {
            Some(_) => format!(
                "waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\""
            ),
            None => format!("persistentvolumeclaim \"{name}\" not found"),
        });
    };
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Lost") {
        let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
        return Err(format!(
            "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{volume}\""
        ));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("persistentvolumeclaim \"{name}\" is being deleted"));
    }
    match owner {
        Some(key) if !claims::is_owned_by(&claim, pod) => {
            Err(format!("PVC {} was not created for pod {key} (pod is not owner)", Key::of(&*claim)))
        }
        _ => Ok(claim),
    }
}

impl PreFilter for VolumeBinding {
    fn pre_filter(
        &self,
        state: &mut CycleState,
        pod: &PodInfo,
        _: &Snapshot,
    ) -> Result<PreFiltered, Rejection> {
        if pod.claims.is_empty() {
            return Ok(PreFiltered::Skip);
        }
        let all = claims_of(pod, &self.sources).map_err(|why| Rejection::unresolvable(NAME, why))?;
        let claims = Claims::new(all, &self.sources);
        if claims.has_immediate {
            return Err(Rejection::unresolvable(NAME, UNBOUND));
        }
        state.put(claims);
        Ok(PreFiltered::AllNodes)
    }
}

impl Filter for VolumeBinding {
    fn filter(&self, state: &CycleState, _: &PodInfo, node: &NodeInfo) -> Verdict {
        let (Some(claims), Some(object)) = (state.get::<Claims>(), &node.node) else { return Ok(()) };
        let reasons = self.decide(claims, object).reasons();
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Rejection { kind: RejectionKind::Unresolvable, reasons, plugin: NAME })
    }
}

impl Reserve for VolumeBinding {
    fn reserve(&self, pod: &PodInfo, node: &str) -> Verdict {
        if pod.claims.is_empty() {
            return Ok(());
        }
        let failed = |why: String| Rejection::error(NAME, why);
        let all = claims_of(pod, &self.sources).map_err(failed)?;
        let claims = Claims::new(all, &self.sources);
        let object = self.sources.nodes.get(&Key::new("", node));
        let object = object.ok_or_else(|| failed(format!("node \"{node}\" not found")))?;
        let decision = self.decide(&claims, &object);
        if let Some(reason) = decision.reasons().into_iter().next() {
            return Err(failed(reason.into_owned()));
        }
        self.assumed.lock().assume(&pod.uid, node, decision);
        Ok(())
    }

    fn unreserve(&self, pod: &PodInfo, _: &str) {
        self.assumed.lock().forget(&pod.uid);
    }
}

#[cfg(test)]
mod tests {
    use client::Store;
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};
    use stdx::Random;

    use crate::cache::Cache;
    use crate::config::Profile;
    use crate::cycle::{Cycle, Failure};
    use crate::nominator::Nominator;
    use crate::testing::{node_from, pod_with};
    use crate::{Sources, plugins};

    fn of<K: client::Object>(values: &[Value]) -> Store<K> {
        Store::fixed(
            values.iter().map(|value| serde_json::from_value::<K>(value.clone()).expect("an object")),
        )
    }

    fn claim(more: Value) -> Value {
        let mut claim = json!({"metadata": {"name": "data", "namespace": "default", "uid": "u"},
            "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}});
        merge(&mut claim, &more);
        claim
    }

    fn merge(into: &mut Value, from: &Value) {
        for (key, part) in from.as_object().expect("an object") {
            if part.is_object() && into[key].is_object() {
                merge(&mut into[key], part);
            } else {
                into[key] = part.clone();
            }
        }
    }

    fn volume(more: Value) -> Value {
        let mut volume = json!({"metadata": {"name": "v"}, "status": {"phase": "Available"},
            "spec": {"storageClassName": "late", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions":
                    [{"key": "host", "operator": "In", "values": ["b"]}]}]}}}});
        merge(&mut volume, &more);
        volume
    }

    #[track_caller]
    fn check(claims: &[Value], volumes: &[Value], provisioner: &str, expected: Expect) {
        let class = json!({"metadata": {"name": "late"}, "provisioner": provisioner,
            "volumeBindingMode": "WaitForFirstConsumer"});
        let mut sources = Sources::none();
        (sources.claims, sources.volumes, sources.classes) = (of(claims), of(volumes), of(&[class]));
        let mut cache = Cache::default();
        for name in ["a", "b"] {
            cache.set_node(node_from(json!({"metadata": {"name": name, "labels": {"host": name}},
                "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}}})));
        }
        let framework = plugins::framework(&Profile::default(), None, &sources);
        let pod = pod_with(
            "p",
            "",
            json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}),
        );
        let mut cycle = Cycle::new(Random::seeded(1), None);
        let told = match cycle.schedule(&framework, &pod, cache.snapshot(), &Nominator::default()) {
            Ok(chosen) => format!("{} of {}", chosen.node, chosen.feasible_nodes),
            Err(Failure::Unfit { error, .. }) => error.to_string(),
            Err(_) => "failed".to_owned(),
        };
        let (first, _) = told.split_once(" no new claims").unwrap_or((&told, ""));
        expected.assert_eq(first);
    }

    #[test]
    fn goes_where_the_volumes_are_or_can_be() {
        let bound = json!({"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": "v"}});
        check(&[claim(json!({}))], &[], "example.com/p", expect!["a of 2"]);
        check(&[claim(json!({}))], &[volume(json!({}))], "kubernetes.io/no-provisioner", expect!["b of 1"]);
        check(&[claim(bound.clone())], &[volume(json!({}))], "example.com/p", expect!["b of 1"]);
        let chosen = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "b"}}});
        check(&[claim(chosen)], &[], "example.com/p", expect!["b of 1"]);
        check(
            &[claim(json!({}))],
            &[],
            "kubernetes.io/no-provisioner",
            expect!["0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."],
        );
        check(
            &[claim(bound.clone())],
            &[],
            "example.com/p",
            expect![
                "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."
            ],
        );
        let elsewhere = json!({"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions":
            [{"key": "host", "operator": "In", "values": ["c"]}]}]}}}});
        check(
            &[claim(bound)],
            &[volume(elsewhere)],
            "example.com/p",
            expect!["0/2 nodes are available: 2 node(s) had volume node affinity conflict."],
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_claim() {
        check(
            &[],
            &[],
            "p",
            expect![[r#"0/2 nodes are available: persistentvolumeclaim "data" not found."#]],
        );
        check(
            &[claim(json!({"spec": {"storageClassName": "none"}}))],
            &[],
            "p",
            expect!["0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."],
        );
        check(
            &[claim(json!({"status": {"phase": "Lost"}, "spec": {"volumeName": "gone"}}))],
            &[],
            "p",
            expect![[
                r#"0/2 nodes are available: persistentvolumeclaim "data" bound to non-existent persistentvolume "gone"."#
            ]],
        );
    }
}
