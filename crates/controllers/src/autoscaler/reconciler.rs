//! Looks at an autoscaler every 15 s: reads, decides, scales, reports.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
    MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use parking_lot::Mutex;
use stdx::error_chain;

use super::conditions::{ABLE, ACTIVE, LIMITED, says, set};
use super::evaluate::{Target, failure_reason};
use super::limits::{Bounds, Memory, WITHIN, limit};
use super::metrics;
use super::replicas::Tolerance;
use crate::context::Context;
use crate::freshness::Written;
use crate::pod_control::told;

/// How often metrics are read (upstream's --horizontal-pod-autoscaler-sync-period).
const PERIOD: Duration = Duration::from_secs(15);
/// Upstream's --horizontal-pod-autoscaler-tolerance.
const TOLERANCE: f64 = 0.1;

struct Reconciler {
    context: Context,
    scalers: Store<HorizontalPodAutoscaler>,
    memories: Mutex<HashMap<Key, Memory>>,
    written: Written,
}

pub(crate) async fn start(context: Context) {
    let scalers = context.hub.store::<HorizontalPodAutoscaler>();
    if !scalers.synced().await {
        return;
    }
    Controller::new("horizontal-pod-autoscaler", &context.hub)
        .watches(&scalers, |change| match change {
            // Our own reports are no reason to look again before the period is over.
            Change::Applied { old: Some(old), new } if old.metadata.generation == new.metadata.generation => {
                Vec::new()
            }
            change => vec![Key::of(&**change.object())],
        })
        .run(Arc::new(Reconciler {
            context,
            scalers,
            memories: Mutex::default(),
            written: Written::default(),
        }));
}

/// One look.
struct Work<'a> {
    key: &'a Key,
    scaler: Arc<HorizontalPodAutoscaler>,
    spec: HorizontalPodAutoscalerSpec,
    status: HorizontalPodAutoscalerStatus,
}

/// What the metrics say together.
enum Verdict {
    Wants {
        replicas: i32,
        metric: String,
        statuses: Vec<MetricStatus>,
    },
    /// Nothing that could be acted on: why stands in the condition.
    Unknown {
        statuses: Vec<MetricStatus>,
        why: String,
    },
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(scaler) = self.scalers.get(key) else {
            self.memories.lock().remove(key);
            self.written.forget(key);
            return Ok(Next::AwaitChange);
        };
        if self.written.is_stale(key, &*scaler) {
            return Ok(Next::After(Duration::from_secs(1)));
        }
        let (spec, status) = (scaler.spec.clone(), scaler.status.clone().unwrap_or_default());
        let mut work = Work { key, scaler, spec, status };
        work.status.observed_generation = work.scaler.metadata.generation;
        let outcome = self.look(&mut work).await;
        self.report(&work).await?;
        outcome?;
        Ok(Next::After(PERIOD))
    }
}

impl Reconciler {
    fn say(&self, work: &Work<'_>, kind: EventType, reason: &str, message: String) {
        self.context.recorder.event(&reference(&*work.scaler), kind, reason, message);
    }

    fn condition(
        &self,
        work: &mut Work<'_>,
        kind: &'static str,
        holds: bool,
        reason: &'static str,
        message: &str,
    ) {
        set(&mut work.status, says(kind, holds, reason, message), self.context.clock.now());
    }

    async fn target(&self, work: &Work<'_>) -> kube::Result<(Api<DynamicObject>, Scale)> {
        let target = &work.spec.scale_target_ref;
        let api_version = target.api_version.clone().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let kind = GroupVersionKind::gvk(group, version, &target.kind);
        let resource = self.resource(&kind).await?;
        let api = Api::namespaced_with(self.context.client.clone(), &work.key.namespace, &resource);
        let scale = api.get_scale(&target.name).await?;
        Ok((api, scale))
    }

    async fn resource(&self, kind: &GroupVersionKind) -> kube::Result<ApiResource> {
        let known = match kind.kind.as_str() {
            "Deployment" => Some("deployments"),
            "ReplicaSet" => Some("replicasets"),
            "StatefulSet" => Some("statefulsets"),
            _ => None,
        };
        match known.filter(|_| kind.group == "apps") {
            Some(plural) => Ok(ApiResource::from_gvk_with_plural(kind, plural)),
            None => Ok(kube::discovery::pinned_kind(&self.context.client, kind).await?.0),
        }
    }

    async fn look(&self, work: &mut Work<'_>) -> Result<(), BoxError> {
        let (api, scale) = match self.target(work).await {
            Ok(found) => found,
            Err(error) => {
                let why = told(&error);
                self.say(work, EventType::Warning, "FailedGetScale", why.clone());
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {why}");
                self.condition(work, ABLE, false, "FailedGetScale", &message);
                return Ok(());
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        self.condition(work, ABLE, true, "SucceededGetScale", message);
        let current = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        let now = self.context.clock.now();
        self.memories.lock().entry(work.key.clone()).or_default().begin(current, now);
        work.status.current_replicas = Some(scale.status.as_ref().map_or(0, |status| status.replicas));
        let (min, max) = (work.spec.min_replicas.unwrap_or(1), work.spec.max_replicas);
        if current == 0 && min != 0 {
            work.status.desired_replicas = 0;
            let message = "scaling is disabled since the replica count of the target is zero";
            self.condition(work, ACTIVE, false, "ScalingDisabled", message);
            return Ok(());
        }
        let (desired, reason) = if current > max {
            (max, "Current number of replicas above Spec.MaxReplicas".to_owned())
        } else if current < min {
            (min, "Current number of replicas below Spec.MinReplicas".to_owned())
        } else {
            match self.by_metrics(work, &scale, &Bounds { current, min, max }).await? {
                Some(found) => found,
                None => return Ok(()),
            }
        };
        work.status.desired_replicas = desired;
        if desired != current {
            self.rescale(work, &api, scale, desired, &reason).await?;
        }
        Ok(())
    }

    /// The size within its limits, and why; none where the metrics say nothing.
    async fn by_metrics(
        &self,
        work: &mut Work<'_>,
        scale: &Scale,
        bounds: &Bounds,
    ) -> Result<Option<(i32, String)>, BoxError> {
        let (replicas, metric) = match self.ask_metrics(work, scale).await? {
            Verdict::Wants { replicas, metric, statuses } => {
                work.status.current_metrics = Some(statuses);
                (replicas, metric)
            }
            Verdict::Unknown { statuses, why } => {
                work.status.current_metrics = Some(statuses);
                work.status.desired_replicas = bounds.current;
                self.say(work, EventType::Warning, "FailedComputeMetricsReplicas", why);
                return Ok(None);
            }
        };
        let reason = if replicas > bounds.current {
            format!("{metric} above target")
        } else {
            "All metrics below target".to_owned()
        };
        let limited = {
            let mut memories = self.memories.lock();
            let memory = memories.entry(work.key.clone()).or_default();
            limit(replicas, bounds, work.spec.behavior.as_ref(), memory, self.context.clock.now())
        };
        let (stabilized, limit) = (limited.stabilized, limited.limit.unwrap_or(WITHIN));
        self.condition(work, ABLE, true, stabilized.0, stabilized.1);
        self.condition(work, LIMITED, limited.limit.is_some(), limit.0, limit.1);
        Ok(Some((limited.replicas, reason)))
    }

    async fn ask_metrics(&self, work: &mut Work<'_>, scale: &Scale) -> Result<Verdict, BoxError> {
        let selector = scale.status.as_ref().and_then(|status| status.selector.clone()).unwrap_or_default();
        if selector.is_empty() {
            let why = "selector is required";
            self.say(work, EventType::Warning, "SelectorRequired", String::new());
            self.condition(
                work,
                ACTIVE,
                false,
                "InvalidSelector",
                "the HPA target's scale is missing a selector",
            );
            return Ok(Verdict::Unknown { statuses: Vec::new(), why: why.to_owned() });
        }
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &work.key.namespace);
        let pods = pods.list(&ListParams::default().labels(&selector)).await?;
        let pods: Vec<_> = pods.items.into_iter().map(Arc::new).collect();
        let target = Target {
            client: &self.context.client,
            namespace: &work.key.namespace,
            selector: &selector,
            pods: &pods,
            spec_replicas: scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0),
            status_replicas: scale.status.as_ref().map_or(0, |status| status.replicas),
            tolerance: tolerance(&work.spec),
            now: self.context.clock.now(),
        };
        Ok(self.combine(work, &target).await)
    }

    /// The largest answer counts. With some metrics silent nothing is made smaller.
    async fn combine(&self, work: &mut Work<'_>, target: &Target<'_>) -> Verdict {
        let all = work.spec.metrics.clone().unwrap_or_default();
        let (mut best, mut statuses, mut failures) = (None::<(i32, String)>, Vec::new(), Vec::new());
        for metric in &all {
            match target.answer(metric).await {
                Ok(answer) => {
                    statuses.push(answer.status);
                    if best.as_ref().is_none_or(|(replicas, _)| answer.replicas > *replicas) {
                        best = Some((answer.replicas, answer.name));
                    }
                }
                Err(error) => {
                    let reason = failure_reason(&metric.type_);
                    let why = error_chain(&error);
                    self.say(work, EventType::Warning, reason, why.clone());
                    failures.push((reason, why));
                }
            }
        }
        let first = failures.first().cloned();
        match (best, first) {
            (Some((replicas, metric)), first) if first.is_none() || replicas >= target.spec_replicas => {
                let message =
                    format!("the HPA was able to successfully calculate a replica count from {metric}");
                self.condition(work, ACTIVE, true, "ValidMetricFound", &message);
                Verdict::Wants { replicas, metric, statuses }
            }
            (_, first) => {
                let (reason, why) = first.unwrap_or(("InvalidMetricSourceType", "no metrics".to_owned()));
                let message = format!("the HPA was unable to compute the replica count: {why}");
                self.condition(work, ACTIVE, false, reason, &message);
                let why = format!(
                    "invalid metrics ({} invalid out of {}), first error is: {why}",
                    failures.len(),
                    all.len()
                );
                Verdict::Unknown { statuses, why }
            }
        }
    }

    async fn rescale(
        &self,
        work: &mut Work<'_>,
        api: &Api<DynamicObject>,
        mut scale: Scale,
        desired: i32,
        reason: &str,
    ) -> kube::Result<()> {
        let from = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        scale.spec.get_or_insert_default().replicas = Some(desired);
        let name = work.spec.scale_target_ref.name.clone();
        if let Err(error) = api.replace_scale(&name, &PostParams::default(), &scale).await {
            let why = told(&error);
            let event = format!("New size: {desired}; reason: {reason}; error: {why}");
            self.say(work, EventType::Warning, "FailedRescale", event);
            let message = format!("the HPA controller was unable to update the target scale: {why}");
            self.condition(work, ABLE, false, "FailedUpdateScale", &message);
            work.status.desired_replicas = from;
            return Err(error);
        }
        let now = self.context.clock.now();
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        self.condition(work, ABLE, true, "SucceededRescale", &message);
        let event = format!("New size: {desired}; reason: {reason}");
        self.say(work, EventType::Normal, "SuccessfulRescale", event);
        let mut memories = self.memories.lock();
        let memory = memories.entry(work.key.clone()).or_default();
        memory.scaled(from, desired, work.spec.behavior.as_ref(), now);
        work.status.last_scale_time = Some(Time(now));
        Ok(())
    }

    async fn report(&self, work: &Work<'_>) -> kube::Result<()> {
        if work.scaler.status.as_ref() == Some(&work.status) {
            return Ok(());
        }
        let changed = HorizontalPodAutoscaler { status: Some(work.status.clone()), ..(*work.scaler).clone() };
        let api: Api<HorizontalPodAutoscaler> =
            Api::namespaced(self.context.client.clone(), &work.key.namespace);
        self.written.replace_status(work.key, &api, &changed).await.map(drop)
    }
}

fn tolerance(spec: &HorizontalPodAutoscalerSpec) -> Tolerance {
    let of = |rules: Option<&HPAScalingRules>| {
        let own = rules.and_then(|rules| rules.tolerance.as_ref());
        // Validation lets only quantities in.
        own.and_then(|own| metrics::milli(&own.0).ok()).map_or(TOLERANCE, |milli| milli as f64 / 1000.0)
    };
    let behavior = spec.behavior.as_ref();
    Tolerance {
        up: of(behavior.and_then(|behavior| behavior.scale_up.as_ref())),
        down: of(behavior.and_then(|behavior| behavior.scale_down.as_ref())),
    }
}
