//! One round of a pod that shall run: look, plan, carry out, say.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go, SyncPod.

use std::time::Duration;

use client::EventType;
use cri::v1 as pb;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use stdx::error_chain;

use super::backoff::go_duration;
use super::container_status::Waiting;
use super::kill;
use super::plan::{self, Kill, Plan, Why};
use super::sandbox_config::sandbox_config;
use super::start::Start;
use super::status::Terminated;
use super::worker::Worker;
use crate::pods;
use crate::runtime::state::time;
use crate::runtime::{CriError, PodRuntime, Run};
use crate::status_manager::Then;

impl Worker {
    /// Rounds until nothing is left to do now.
    pub(super) async fn sync(&mut self) -> Result<(), CriError> {
        loop {
            let runtime = self.observe().await?;
            let plan = plan::plan(&self.pod, &runtime, &self.probes);
            self.publish(&runtime, Terminated::No, Then::Keep);
            if plan.kill_pod && plan.create_sandbox.is_none() {
                self.end();
                return Ok(());
            }
            let acted = self.carry_out(&runtime, &plan).await;
            let runtime = self.observe().await?;
            self.finish_resize(&runtime);
            self.collect_garbage(&runtime).await?;
            self.publish(&runtime, Terminated::No, Then::Keep);
            if !acted? || self.pod_is_settled(&runtime) {
                return Ok(());
            }
        }
    }

    /// Whether another round would find nothing to do.
    fn pod_is_settled(&self, runtime: &PodRuntime) -> bool {
        let next = plan::plan(&self.pod, runtime, &self.probes);
        next == Plan::default()
    }

    /// Whether something was started or stopped.
    async fn carry_out(&mut self, runtime: &PodRuntime, plan: &Plan) -> Result<bool, CriError> {
        if !self.mount().await {
            return Ok(false);
        }
        if plan.kill_pod {
            self.kill_pod(runtime).await?;
        }
        for kill in &plan.kill {
            self.kill(runtime, kill).await?;
        }
        let resized = self.actuate(runtime, &plan.resize).await;
        let runtime = match plan.create_sandbox {
            None => runtime.clone(),
            Some(attempt) => {
                if !self.create_sandbox(attempt).await {
                    return Ok(false);
                }
                self.observe().await?
            }
        };
        let Some(sandbox) = runtime.sandbox().cloned() else { return Ok(plan.kill_pod) };
        let config = sandbox_config(&self.context.config, &self.pod, sandbox.attempt);
        let mut started = !plan.kill.is_empty() || plan.kill_pod || resized;
        for container in chosen(&self.pod.clone(), plan) {
            started |= self.start(&runtime, &sandbox.id, &config, &container).await;
        }
        Ok(started)
    }

    async fn mount(&mut self) -> bool {
        let node = self.context.node_fields(&[]);
        let context = self.context.clone();
        match context.volumes.set_up(&self.pod, &node).await {
            Ok(ready) => {
                if let Some(at) = ready.refresh {
                    self.look_at(at);
                }
                self.volumes = ready;
                self.volumes_backoff.reset();
                true
            }
            Err(error) => {
                let message = error_chain(&error);
                self.context.pod_event(&self.pod, EventType::Warning, "FailedMount", message);
                let delay = self.volumes_backoff.step();
                self.look_in(delay);
                false
            }
        }
    }

    async fn kill_pod(&mut self, runtime: &PodRuntime) -> Result<(), CriError> {
        let message = "Pod sandbox changed, it will be killed and re-created.";
        self.context.pod_event(&self.pod, EventType::Normal, "SandboxChanged", message);
        kill::all(&self.context, &self.pod, runtime, self.grace(), kill::PreStop::Run).await?;
        for sandbox in &runtime.sandboxes {
            self.context.cri.stop_sandbox(&sandbox.id).await?;
        }
        Ok(())
    }

    async fn kill(&mut self, runtime: &PodRuntime, kill: &Kill) -> Result<(), CriError> {
        let Some(record) = runtime.containers.iter().find(|c| c.id == kill.id) else { return Ok(()) };
        let ip = runtime.sandbox().and_then(|s| s.addresses.first().cloned()).unwrap_or_default();
        let grace = self.probe_grace(kill).unwrap_or_else(|| self.grace());
        kill::container(
            &self.context,
            &self.pod,
            record,
            Some(&kill.message),
            grace,
            kill::PreStop::Run,
            &ip,
        )
        .await?;
        self.probes.forget(&kill.id);
        Ok(())
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(u64::try_from(pods::grace_seconds(&self.pod)).unwrap_or(30))
    }

    /// A probe may bring its own grace.
    fn probe_grace(&self, kill: &Kill) -> Option<Duration> {
        let container = pods::find_container(&self.pod, &kill.name)?;
        let probe = match kill.why {
            Why::Liveness => container.liveness_probe,
            Why::Startup => container.startup_probe,
            Why::Changed | Why::Unknown | Why::Resize => None,
        };
        let seconds = probe?.termination_grace_period_seconds?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)))
    }

    async fn create_sandbox(&mut self, attempt: u32) -> bool {
        let config = sandbox_config(&self.context.config, &self.pod, attempt);
        if let Err(source) = std::fs::create_dir_all(&config.log_directory) {
            return self.no_sandbox(&source.to_string());
        }
        let handler = match self.runtime_handler().await {
            Ok(handler) => handler,
            Err(why) => return self.no_sandbox(&why),
        };
        match self.context.cri.run_sandbox(config, handler).await {
            Ok(_) => true,
            Err(error) => self.no_sandbox(&error.said()),
        }
    }

    /// The runtime's name for what the pod's RuntimeClass means; empty for its default.
    async fn runtime_handler(&self) -> Result<String, String> {
        let spec = pods::spec(&self.pod);
        let class = spec.runtime_class_name.as_deref().unwrap_or_default();
        let handler = if class.is_empty() {
            String::new()
        } else {
            let api: Api<RuntimeClass> = Api::all(self.context.config.client.clone());
            let found = api.get_opt(class).await.map_err(|error| error_chain(&error))?;
            let missing = || format!("failed to get sandbox runtime: RuntimeClass {class:?} not found");
            found.ok_or_else(missing)?.handler
        };
        if spec.host_users == Some(false) && !self.context.cri.has_user_namespaces(&handler).await {
            return Err(format!("RuntimeClass handler {handler:?} does not support user namespaces"));
        }
        Ok(handler)
    }

    fn no_sandbox(&mut self, why: &str) -> bool {
        let message = format!("Failed to create pod sandbox: {why}");
        self.context.pod_event(&self.pod, EventType::Warning, "FailedCreatePodSandBox", message);
        let delay = self.volumes_backoff.step();
        self.look_in(delay);
        false
    }

    /// Whether it started; if not, the reason is kept for the status.
    async fn start(
        &mut self,
        runtime: &PodRuntime,
        sandbox: &str,
        config: &pb::PodSandboxConfig,
        container: &Container,
    ) -> bool {
        if self.backs_off(runtime, container) {
            return false;
        }
        let addresses = match runtime.sandbox() {
            Some(sandbox) if !pods::host_network(&self.pod) => sandbox.addresses.clone(),
            _ => self.context.host_ips(),
        };
        let (context, pod) = (self.context.clone(), self.pod.clone());
        let start = Start {
            context: &context,
            pod: &pod,
            container,
            runtime,
            sandbox,
            sandbox_config: config,
            addresses: &addresses,
            volumes: &self.volumes,
            target: target(&pod, &container.name, runtime),
        };
        match start.run(&mut self.backoffs).await {
            Ok(()) => {
                self.waiting.remove(&container.name);
                true
            }
            Err(waiting) => {
                self.keep_waiting(container, waiting);
                false
            }
        }
    }

    fn keep_waiting(&mut self, container: &Container, waiting: Waiting) {
        let now = self.context.config.clock.now();
        let key = format!("image {}", container.image.as_deref().unwrap_or_default());
        let pull = self.backoffs.updated(&key).and_then(|since| self.backoffs.remaining(&key, since, now));
        let first = waiting.reason == "ErrImagePull";
        let retry = match pull {
            // Right after the failure comes the word that it is being waited for.
            Some(_) if first => Duration::from_secs(1),
            Some(wait) => wait.left,
            None => Duration::from_secs(10),
        };
        self.look_in(retry);
        self.waiting.insert(container.name.clone(), waiting);
    }

    /// Whether a crashed container has to wait; counts the attempt if not.
    fn backs_off(&mut self, runtime: &PodRuntime, container: &Container) -> bool {
        let ended =
            runtime.current(&container.name).filter(|c| c.run == Run::Exited).and_then(|c| time(c.finished));
        let Some(ended) = ended else { return false };
        let now: Timestamp = self.context.config.clock.now();
        let key = format!("{} {}", container.name, crate::runtime::labels::hash(container));
        let Some(wait) = self.backoffs.remaining(&key, ended, now) else {
            self.backoffs.next(&key, ended, now);
            return false;
        };
        self.look_in(wait.left);
        let (name, pod) = (&container.name, pods::described(&self.pod));
        let event = format!("Back-off restarting failed container {name} in pod {pod}");
        self.context.container_event(&self.pod, name, EventType::Warning, "BackOff", event);
        let message =
            format!("back-off {} restarting failed container={name} pod={pod}", go_duration(wait.whole));
        self.waiting.insert(name.clone(), Waiting { reason: "CrashLoopBackOff".into(), message });
        true
    }

    /// Keeps the newest dead container of each name, for `logs --previous`, and removes older ones.
    async fn collect_garbage(&mut self, runtime: &PodRuntime) -> Result<(), CriError> {
        let mut seen: Vec<&str> = Vec::new();
        for record in &runtime.containers {
            if record.run == Run::Running {
                continue;
            }
            if !seen.contains(&record.name.as_str()) {
                seen.push(&record.name);
                continue;
            }
            self.context.cri.remove(&record.id).await?;
            self.remove_log(&record.log_path);
        }
        for old in runtime.sandboxes.iter().skip(1).filter(|s| !s.ready) {
            if !runtime.containers.iter().any(|c| c.sandbox == old.id) {
                self.context.cri.remove_sandbox(&old.id).await?;
            }
        }
        Ok(())
    }

    fn remove_log(&self, path: &str) {
        for file in crate::logs::read::files(std::path::Path::new(path)) {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(?file, %error, "log not removed");
                }
                _ => {}
            }
        }
    }
}

/// The containers that the plan starts, in its order.
fn chosen(pod: &Pod, plan: &Plan) -> Vec<Container> {
    let ephemeral =
        plan.start_ephemeral.iter().map(|i| pods::from_ephemeral(&pods::ephemeral_containers(pod)[*i]));
    let init = plan.start_init.iter().map(|i| pods::init_containers(pod)[*i].clone());
    let main = plan.start.iter().map(|i| pods::containers(pod)[*i].clone());
    ephemeral.chain(init).chain(main).collect()
}

/// The container whose processes an ephemeral one shall see.
fn target(pod: &Pod, name: &str, runtime: &PodRuntime) -> Option<String> {
    let container = pods::ephemeral_containers(pod).iter().find(|c| c.name == name)?;
    let target = container.target_container_name.as_deref().filter(|t| !t.is_empty())?;
    runtime.latest(target).map(|record| record.id.clone())
}
