//! What the scheduler writes: bindings, why a pod waits, and the end of those that have to make room.

use std::sync::Arc;

use client::{EventType, Recorder, is_conflict, is_not_found, reference};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use stdx::{Clock, error_chain};

use crate::framework::{Framework, Rejection, Verdict};
use crate::pod_info::PodInfo;

/// Longer messages of events are cut, as upstream does.
const LONGEST_MESSAGE: usize = 1024;

/// Writes on behalf of the loop; cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    pub client: Client,
    pub recorder: Recorder,
    pub clock: Clock,
}

/// Why a pod waits, for its status.
pub(crate) struct Waits {
    /// `Unschedulable` or `SchedulerError`.
    pub reason: &'static str,
    pub message: String,
    /// The node that is being cleared.
    pub nominated: Option<String>,
}

impl Writer {
    /// Binds the pod, by the first plugin that does.
    pub async fn bind(&self, framework: &Framework, pod: &PodInfo, node: &str) -> Verdict {
        for plugin in &framework.pre_bind {
            plugin.pre_bind(pod, node).await.map_err(|why| named("PreBind", why))?;
        }
        let Some(plugin) = framework.bind.first() else {
            return Err(Rejection::error("", "no plugin binds"));
        };
        plugin.bind(pod, node).await.map_err(|why| named("Bind", why))?;
        let message = format!("Successfully assigned {} to {node}", pod.key);
        self.recorder.event(&reference(&*pod.pod), EventType::Normal, "Scheduled", message);
        Ok(())
    }

    pub fn tell_failure(&self, pod: &PodInfo, message: &str) {
        let mut end = message.len().min(LONGEST_MESSAGE);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let about = reference(&*pod.pod);
        self.recorder.event(&about, EventType::Warning, "FailedScheduling", &message[..end]);
    }

    /// Writes why the pod waits, if its status does not say so already.
    pub async fn explain(&self, pod: &PodInfo, waits: &Waits) {
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Some(status) = explanation(&pod.pod, waits, &now) else { return };
        self.patch_status(pod, status).await;
    }

    /// Takes back the promise of a node.
    pub async fn clear_nomination(&self, pod: &PodInfo) {
        self.patch_status(pod, json!({"nominatedNodeName": null})).await;
    }

    async fn patch_status(&self, pod: &PodInfo, status: Value) {
        let patch = json!({"metadata": {"uid": pod.uid}, "status": status});
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.key.namespace);
        let patched =
            api.patch_status(&pod.key.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        log_failure(pod, "pod status not written", patched.map(drop));
    }

    /// Makes `victim` leave, so that `preemptor` can have `node`.
    pub async fn evict(&self, victim: &PodInfo, preemptor: &PodInfo, node: &str) {
        let scheduler = preemptor.scheduler_name();
        let now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let message = format!("{scheduler}: preempting to accommodate a higher priority pod");
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
            "message": message, "lastTransitionTime": now, "lastProbeTime": null});
        self.patch_status(victim, json!({"conditions": [condition]})).await;
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &victim.key.namespace);
        let preconditions = Preconditions { uid: Some(victim.uid.clone()), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let deleted = api.delete(&victim.key.name, &params).await;
        if deleted.is_ok() {
            let message = format!("Preempted by pod {} on node {node}", preemptor.uid);
            self.recorder.event(&reference(&*victim.pod), EventType::Normal, "Preempted", message);
        }
        log_failure(victim, "victim not deleted", deleted.map(drop));
    }
}

/// A pod that is gone or replaced needs nothing written any more.
fn log_failure(pod: &PodInfo, what: &'static str, result: kube::Result<()>) {
    if let Err(error) = result
        && !is_not_found(&error)
        && !is_conflict(&error)
    {
        tracing::warn!(object = %pod.key, error = error_chain(&error), "{what}");
    }
}

/// The status that says why the pod waits; None if it already does.
fn explanation(pod: &Arc<Pod>, waits: &Waits, now: &str) -> Option<Value> {
    let status = pod.status.as_ref();
    let old: Option<&PodCondition> =
        status.and_then(|status| status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled"));
    let same_text = |c: &PodCondition| {
        c.reason.as_deref() == Some(waits.reason) && c.message.as_deref() == Some(&waits.message)
    };
    let was_false = old.is_some_and(|c| c.status == "False");
    let nominated = status.and_then(|status| status.nominated_node_name.as_deref());
    let renominated = waits.nominated.is_some() && waits.nominated.as_deref() != nominated;
    if was_false && old.is_some_and(same_text) && !renominated {
        return None;
    }
    let since = old.filter(|_| was_false).and_then(|c| c.last_transition_time.as_ref());
    let since = since.map_or_else(|| json!(now), |since| json!(since));
    let mut status = json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": waits.reason, "message": waits.message,
        "lastTransitionTime": since, "lastProbeTime": null, "observedGeneration": pod.metadata.generation,
    }]});
    if let Some(node) = &waits.nominated {
        status["nominatedNodeName"] = json!(node);
    }
    Some(status)
}

fn named(point: &str, mut rejection: Rejection) -> Rejection {
    let message = format!("running {point} plugin \"{}\": {}", rejection.plugin, rejection.message());
    rejection.reasons = vec![message.into()];
    rejection
}
