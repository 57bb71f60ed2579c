//! Takes the DisruptionTarget condition back from pods that were to be disrupted and were not.
//!
//! Upstream: pkg/controller/disruption/disruption.go, `syncStalePodDisruption`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, Key, Next, Reconcile, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::context::Context;
use crate::pods;

const CONDITION: &str = "DisruptionTarget";
const PATIENCE: Duration = Duration::from_secs(120);

struct Stale {
    context: Context,
    pods: Store<Pod>,
}

pub(super) fn start(context: Context, pods: Store<Pod>) {
    Controller::new("stale-disruption", &context.hub)
        .watches(&pods, |change| match change {
            Change::Applied { new, .. } if end(new).is_some() => vec![Key::of(&**new)],
            _ => Vec::new(),
        })
        .run(Arc::new(Stale { context, pods }));
}

/// When the condition has stood long enough.
fn end(pod: &Pod) -> Option<Timestamp> {
    if pods::is_terminating(pod) || pods::is_finished(pod) {
        return None;
    }
    let condition = pods::condition(pod, CONDITION).filter(|condition| condition.status == "True")?;
    Some(condition.last_transition_time.as_ref()?.0 + PATIENCE)
}

#[async_trait]
impl Reconcile for Stale {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let now = self.context.clock.now();
        let Some(end) = self.pods.get(key).and_then(|pod| end(&pod)) else { return Ok(Next::AwaitChange) };
        if let Ok(left) = Duration::try_from(end.duration_since(now))
            && !left.is_zero()
        {
            return Ok(Next::After(left));
        }
        let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let patch = json!({"status": {"conditions": [{"type": CONDITION, "status": "False", "lastTransitionTime": at}]}});
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        match api.patch_status(&key.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            Err(error) if !client::is_not_found(&error) => Err(error.into()),
            _ => Ok(Next::AwaitChange),
        }
    }
}
