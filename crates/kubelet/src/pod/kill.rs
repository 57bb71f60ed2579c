//! Stopping containers: preStop, the signal, the grace, in upstream's order.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go, killContainer.

use std::time::Duration;

use client::EventType;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use stdx::error_chain;

use super::hooks;
use crate::context::Context;
use crate::pods;
use crate::runtime::{ContainerRecord, CriError, PodRuntime, Run};

/// The shortest time between the signal and the kill, once preStop is done.
const LEAST: Duration = Duration::from_secs(2);

/// Whether preStop still has to run; a second, shorter deletion does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PreStop {
    Run,
    Done,
}

/// Stops one container.
pub(crate) async fn container(
    context: &Context,
    pod: &Pod,
    record: &ContainerRecord,
    message: Option<&str>,
    grace: Duration,
    pre_stop: PreStop,
    ip: &str,
) -> Result<(), CriError> {
    let message = message.map_or_else(|| format!("Stopping container {}", record.name), ToOwned::to_owned);
    if pre_stop == PreStop::Run {
        context.container_event(pod, &record.name, EventType::Normal, "Killing", message);
    }
    let mut left = grace;
    if pre_stop == PreStop::Run && !grace.is_zero() {
        let began = context.config.clock.monotonic();
        run_pre_stop(context, pod, record, grace, ip).await;
        left = grace.saturating_sub(context.config.clock.monotonic() - began).max(LEAST.min(grace));
    }
    context.cri.stop(&record.id, left).await
}

async fn run_pre_stop(context: &Context, pod: &Pod, record: &ContainerRecord, grace: Duration, ip: &str) {
    let Some(spec) = pods::find_container(pod, &record.name) else { return };
    let Some(hook) = spec.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()) else { return };
    if record.run != Run::Running {
        return;
    }
    let clock = &context.config.clock;
    let run = hooks::run(context, &record.id, ip, &spec, hook, grace);
    if let Some(Err(why)) = crate::probes::action::within(clock, grace, run).await {
        let message = format!("PreStopHook failed: {why}");
        context.container_event(pod, &record.name, EventType::Warning, "FailedPreStopHook", message);
    }
}

/// Stops every container of a pod: the main ones together, then the sidecars, last first.
pub(crate) async fn all(
    context: &Context,
    pod: &Pod,
    runtime: &PodRuntime,
    grace: Duration,
    pre_stop: PreStop,
) -> Result<(), CriError> {
    let ip = runtime.sandbox().and_then(|s| s.addresses.first().cloned()).unwrap_or_default();
    let began = context.config.clock.monotonic();
    let (sidecars, others): (Vec<_>, Vec<_>) =
        runtime.containers.iter().filter(|c| c.run != Run::Exited).partition(|c| is_sidecar(pod, &c.name));
    let stops = others.into_iter().map(|record| container(context, pod, record, None, grace, pre_stop, &ip));
    let mut results = join_all(stops).await;
    let order: Vec<&str> = pods::init_containers(pod).iter().map(|c| c.name.as_str()).collect();
    let mut sidecars = sidecars;
    sidecars.sort_by_key(|record| std::cmp::Reverse(order.iter().position(|name| *name == record.name)));
    for record in sidecars {
        let left = grace.saturating_sub(context.config.clock.monotonic() - began).max(LEAST.min(grace));
        results.push(container(context, pod, record, None, left, pre_stop, &ip).await);
    }
    results.into_iter().collect()
}

fn is_sidecar(pod: &Pod, name: &str) -> bool {
    pods::init_containers(pod).iter().any(|c| c.name == name && pods::is_sidecar(c))
}

/// Removes every trace of a stopped pod from the runtime.
pub(crate) async fn remove(context: &Context, runtime: &PodRuntime) -> Result<(), CriError> {
    for record in &runtime.containers {
        context.cri.remove(&record.id).await?;
    }
    for sandbox in &runtime.sandboxes {
        context.cri.stop_sandbox(&sandbox.id).await?;
        context.cri.remove_sandbox(&sandbox.id).await?;
    }
    Ok(())
}

/// For failures that another try will cure.
pub(crate) fn log(pod: &Pod, what: &'static str, error: &CriError) {
    tracing::warn!(pod = %pods::described(pod), error = error_chain(error), step = what, "pod step failed");
}
