//! All probes of one pod, as one task.

use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use tokio::sync::watch;

use super::action::{self, Finding};
use super::results::{Kind, Outcome, Results};
use super::threshold::{Streak, Timing, initial, timing};
use crate::context::Context;
use crate::pods;
use crate::runtime::{PodRuntime, Run};

/// Runs until the pod's runtime state is no longer told.
pub(crate) async fn run(
    context: Arc<Context>,
    pod: Arc<Pod>,
    runtime: watch::Receiver<PodRuntime>,
    results: Results,
    changed: impl Fn() + Send + Sync,
) {
    let mut probes = Vec::new();
    let sidecars = pods::init_containers(&pod).iter().filter(|c| pods::is_sidecar(c));
    for container in sidecars.chain(pods::containers(&pod)) {
        for (kind, probe) in of(container) {
            let prober = Prober {
                context: &context,
                pod: &pod,
                container,
                kind,
                probe,
                timing: timing(probe),
                results: &results,
                changed: &changed,
            };
            probes.push(prober.run(runtime.clone()));
        }
    }
    join_all(probes).await;
}

pub(crate) fn of(container: &Container) -> impl Iterator<Item = (Kind, &Probe)> {
    [
        (Kind::Startup, &container.startup_probe),
        (Kind::Liveness, &container.liveness_probe),
        (Kind::Readiness, &container.readiness_probe),
    ]
    .into_iter()
    .filter_map(|(kind, probe)| Some((kind, probe.as_ref()?)))
}

pub(crate) fn has_any(pod: &Pod) -> bool {
    pods::init_containers(pod).iter().chain(pods::containers(pod)).any(|c| of(c).next().is_some())
}

struct Prober<'a, F> {
    context: &'a Context,
    pod: &'a Pod,
    container: &'a Container,
    kind: Kind,
    probe: &'a Probe,
    timing: Timing,
    results: &'a Results,
    changed: &'a F,
}

/// A running container.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    id: String,
    started: i64,
    ip: String,
}

impl<F: Fn()> Prober<'_, F> {
    async fn run(self, mut runtime: watch::Receiver<PodRuntime>) {
        // Each turn probes one container until it ends.
        loop {
            let Ok(state) =
                runtime.wait_for(|state| self.target(state).is_some()).await.map(|s| self.target(&s))
            else {
                return;
            };
            let Some(target) = state else { continue };
            let mut ended = runtime.clone();
            tokio::select! {
                () = self.probe_one(&target, &runtime) => {}
                gone = ended.wait_for(|state| self.target(state).is_none_or(|t| t.id != target.id)) => {
                    if gone.is_err() {
                        return;
                    }
                }
            }
            if runtime.wait_for(|state| self.target(state).is_none_or(|t| t.id != target.id)).await.is_err() {
                return;
            }
        }
    }

    fn target(&self, state: &PodRuntime) -> Option<Target> {
        let record = state.latest(&self.container.name).filter(|c| c.run == Run::Running)?;
        let addresses = state.sandbox().map(|s| s.addresses.clone()).unwrap_or_default();
        let ip = if pods::host_network(self.pod) {
            self.context.host_ips().into_iter().next()
        } else {
            addresses.into_iter().next()
        };
        Some(Target {
            id: record.id.clone(),
            started: record.started,
            ip: ip.unwrap_or_else(|| "127.0.0.1".into()),
        })
    }

    /// Probes this container until it failed for good (or, for startup probes, succeeded).
    async fn probe_one(&self, target: &Target, runtime: &watch::Receiver<PodRuntime>) {
        if self.results.get(&target.id, self.kind).is_none() {
            self.results.set(&target.id, self.kind, initial(self.kind));
        }
        if self.kind != Kind::Startup {
            self.wait_for_startup(target, runtime).await;
        }
        self.context.config.clock.sleep(self.delay(target)).await;
        let mut streak = Streak::default();
        loop {
            let finding = self.look(target).await;
            let verdict = self.report(&finding).and_then(|outcome| streak.observe(outcome, &self.timing));
            if let Some(verdict) = verdict {
                if self.results.set(&target.id, self.kind, verdict) {
                    (self.changed)();
                }
                let done = match self.kind {
                    Kind::Startup => true,
                    Kind::Liveness => verdict == Outcome::Failure,
                    Kind::Readiness => false,
                };
                if done {
                    return;
                }
            }
            self.context.config.clock.sleep(self.timing.period).await;
        }
    }

    /// The other probes begin once the startup probe succeeded; its verdict arrives with the worker's next round.
    async fn wait_for_startup(&self, target: &Target, runtime: &watch::Receiver<PodRuntime>) {
        if self.container.startup_probe.is_none() {
            return;
        }
        let started = || self.results.get(&target.id, Kind::Startup) == Some(Outcome::Success);
        let mut runtime = runtime.clone();
        while !started() {
            if runtime.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn delay(&self, target: &Target) -> Duration {
        let began = crate::runtime::state::time(target.started);
        let passed = began.map(|t| self.context.config.clock.now().duration_since(t)).unwrap_or_default();
        let passed = Duration::try_from(passed).unwrap_or_default();
        self.timing.initial_delay.saturating_sub(passed)
    }

    /// `None` if nothing was learnt.
    fn report(&self, finding: &Finding) -> Option<Outcome> {
        let (outcome, message) = match finding {
            Finding::Good(_) => return Some(Outcome::Success),
            Finding::Bad(output) => {
                (Some(Outcome::Failure), format!("{} probe failed: {output}", self.kind.title()))
            }
            Finding::Untried(why) => {
                (None, format!("{} probe errored and resulted in unknown state: {why}", self.kind.title()))
            }
        };
        let name = &self.container.name;
        self.context.container_event(self.pod, name, EventType::Warning, "Unhealthy", message);
        outcome
    }

    async fn look(&self, target: &Target) -> Finding {
        let clock = &self.context.config.clock;
        let timeout = self.timing.timeout;
        if let Some(exec) = &self.probe.exec {
            return action::exec(&self.context.cri, &target.id, exec, timeout).await;
        }
        if let Some(get) = &self.probe.http_get {
            return action::http_get(clock, &target.ip, self.container, get, "kube-probe/1.36", timeout)
                .await;
        }
        if let Some(socket) = &self.probe.tcp_socket {
            return action::tcp(clock, &target.ip, self.container, socket, timeout).await;
        }
        if let Some(grpc) = &self.probe.grpc {
            return super::grpc::check(clock, &target.ip, grpc, timeout).await;
        }
        Finding::Bad("missing probe handler".into())
    }
}
