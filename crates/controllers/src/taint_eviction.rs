//! Deletes pods that do not tolerate the NoExecute taints of their node, when their tolerance ends.
//!
//! Upstream: pkg/controller/tainteviction.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Key, Next, Reconcile, Store, reference};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use crate::context::Context;
use crate::pods;

struct Reconciler {
    context: Context,
    pods: Store<Pod>,
    nodes: Store<Node>,
}

pub(crate) async fn start(context: Context) {
    let (pods, nodes) = (context.hub.store::<Pod>(), context.hub.store::<Node>());
    pods.add_index("node", |pod| pods::node_name(pod).map(str::to_owned).into_iter().collect());
    if !(pods.synced().await && nodes.synced().await) {
        return;
    }
    let all = pods.clone();
    Controller::new("taint-eviction", &context.hub)
        .watches(&pods, |change| match change {
            Change::Applied { old: Some(old), new } if same(old, new) => Vec::new(),
            Change::Applied { new, .. } => vec![Key::of(&**new)],
            Change::Deleted(_) => Vec::new(),
        })
        .watches(&nodes, move |change| {
            let Change::Applied { old, new } = change else { return Vec::new() };
            if old.as_ref().is_some_and(|old| no_execute(old) == no_execute(new)) {
                return Vec::new();
            }
            let name = new.metadata.name.as_deref().unwrap_or_default();
            all.by_index("node", name).iter().map(|pod| Key::of(&**pod)).collect()
        })
        .run(Arc::new(Reconciler { context, pods, nodes }));
}

fn same(a: &Pod, b: &Pod) -> bool {
    let tolerations = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.tolerations.clone());
    pods::node_name(a) == pods::node_name(b) && tolerations(a) == tolerations(b)
}

fn no_execute(node: &Node) -> Vec<Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

/// When a pod has to go.
#[derive(Debug, PartialEq)]
enum Verdict {
    Stays,
    Goes,
    GoesAfter(Duration),
}

/// Upstream's rule: a taint that nothing tolerates ends the pod now; else the shortest tolerance counts, from the
/// time at which the taint was added.
fn verdict(taints: &[Taint], tolerations: &[Toleration], now: Timestamp) -> Verdict {
    let mut soonest: Option<Duration> = None;
    for taint in taints {
        let tolerating: Vec<_> =
            tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if tolerating.is_empty() {
            return Verdict::Goes;
        }
        let Some(seconds) = tolerating.iter().filter_map(|toleration| toleration.toleration_seconds).min()
        else {
            continue;
        };
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let left = since.as_second() + seconds.max(0) - now.as_second();
        let left = Duration::from_secs(left.max(0) as u64);
        soonest = Some(soonest.map_or(left, |soonest| soonest.min(left)));
    }
    match soonest {
        None => Verdict::Stays,
        Some(left) if left.is_zero() => Verdict::Goes,
        Some(left) => Verdict::GoesAfter(left),
    }
}

pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let matches =
        |own: &Option<String>, other: &str| own.as_deref().is_none_or(|own| own.is_empty() || own == other);
    let value = taint.value.as_deref().unwrap_or_default();
    let by_operator = match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" | "" => toleration.value.as_deref().unwrap_or_default() == value,
        _ => false,
    };
    matches(&toleration.effect, &taint.effect) && matches(&toleration.key, &taint.key) && by_operator
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(pod) = self.pods.get(key).filter(|pod| !pods::is_terminating(pod)) else {
            return Ok(Next::AwaitChange);
        };
        let node = pods::node_name(&pod).and_then(|name| self.nodes.get(&Key::new("", name)));
        let Some(node) = node else { return Ok(Next::AwaitChange) };
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.clone()).unwrap_or_default();
        match verdict(&no_execute(&node), &tolerations, self.context.clock.now()) {
            Verdict::Stays => Ok(Next::AwaitChange),
            Verdict::GoesAfter(left) => Ok(Next::After(left)),
            Verdict::Goes => {
                self.evict(&pod, key).await?;
                Ok(Next::AwaitChange)
            }
        }
    }
}

impl Reconciler {
    async fn evict(&self, pod: &Pod, key: &Key) -> kube::Result<()> {
        let message = format!("Marking for deletion Pod {key}");
        self.context.recorder.event(&reference(pod), EventType::Normal, "TaintManagerEviction", message);
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": self.context.clock.now().to_string()}]}});
        ignore_gone(api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await)?;
        let same = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        ignore_gone(api.delete(&key.name, &DeleteParams::default().preconditions(same)).await)
    }
}

fn ignore_gone<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Err(error) if !client::is_not_found(&error) && !client::is_conflict(&error) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_tolerance_counts() {
        let taint = |key: &str| {
            serde_json::from_value::<Taint>(
                json!({"key": key, "effect": "NoExecute", "timeAdded": "1970-01-01T00:00:00Z"}),
            )
            .expect("a taint")
        };
        let toleration =
            |value: serde_json::Value| serde_json::from_value::<Toleration>(value).expect("a toleration");
        let now = Timestamp::from_second(100).expect("in range");
        let check = |tolerations: &[serde_json::Value]| {
            let tolerations: Vec<_> = tolerations.iter().cloned().map(toleration).collect();
            verdict(&[taint("a")], &tolerations, now)
        };
        assert_eq!(check(&[]), Verdict::Goes);
        assert_eq!(check(&[json!({"operator": "Exists"})]), Verdict::Stays);
        assert_eq!(
            check(&[json!({"key": "a", "operator": "Exists", "tolerationSeconds": 300})]),
            Verdict::GoesAfter(Duration::from_secs(200))
        );
        assert_eq!(
            check(&[json!({"key": "a", "operator": "Exists", "tolerationSeconds": 50})]),
            Verdict::Goes
        );
        assert_eq!(check(&[json!({"key": "b", "operator": "Exists"})]), Verdict::Goes);
    }
}
