//! Starting one container: image, configuration, create, start, postStart.
//!
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go, startContainer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::{EventType, Key};
use cri::v1 as pb;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret};
use stdx::error_chain;

use super::backoff::Backoffs;
use super::container_config::{Parts, container_config};
use super::container_status::Waiting;
use super::{hooks, kill};
use crate::context::Context;
use crate::env;
use crate::images::puller;
use crate::pods;
use crate::runtime::{ContainerRecord, PodRuntime};
use crate::volumes::set_up::Ready;

/// What a container is started with.
pub(crate) struct Start<'a> {
    pub context: &'a Context,
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub runtime: &'a PodRuntime,
    pub sandbox: &'a str,
    pub sandbox_config: &'a pb::PodSandboxConfig,
    pub addresses: &'a [String],
    pub volumes: &'a Ready,
    pub target: Option<String>,
}

type Objects<K> = HashMap<String, Arc<K>>;

impl Start<'_> {
    pub async fn run(&self, backoffs: &mut Backoffs) -> Result<(), Waiting> {
        let image = puller::ensure(self.context, self.pod, self.container, self.sandbox_config, backoffs)
            .await
            .inspect_err(|w| self.failed(&w.reason))?;
        let volumes =
            puller::ensure_volumes(self.context, self.pod, self.container, self.sandbox_config, backoffs)
                .await
                .inspect_err(|w| self.failed(&w.reason))?;
        let config = self.configure(&image, &volumes).await.map_err(|why| {
            self.failed(&why);
            waiting("CreateContainerConfigError", why)
        })?;
        let created = self.context.cri.create(self.sandbox, config, self.sandbox_config.clone()).await;
        let id = created.map_err(|error| {
            self.failed(&error.said());
            waiting("CreateContainerError", error.said())
        })?;
        self.say(EventType::Normal, "Created", "Container created");
        self.context.cri.start(&id).await.map_err(|error| {
            self.failed(&error.said());
            waiting("RunContainerError", error.said())
        })?;
        self.say(EventType::Normal, "Started", "Container started");
        self.post_start(&id).await
    }

    async fn configure(
        &self,
        image: &pb::Image,
        image_volumes: &HashMap<String, pb::Image>,
    ) -> Result<pb::ContainerConfig, String> {
        let (config_maps, secrets) = self.objects().await?;
        let services = self.services().await;
        let node = self.context.node_fields(self.addresses);
        let source = env::Source {
            pod: self.pod,
            node: &node,
            services: &services,
            config_maps: &config_maps,
            secrets: &secrets,
        };
        let env = env::resolve(self.container, &source).map_err(|error| error.to_string())?;
        let hosts = crate::dns::hosts_file(&self.context.config, self.pod, self.addresses)
            .map_err(|error| error.to_string())?;
        let parts = Parts {
            config: &self.context.config,
            pod: self.pod,
            container: self.container,
            restarts: self.restarts(),
            env: &env,
            volumes: self.volumes,
            image,
            image_volumes,
            hosts_file: Some(&hosts),
            node_memory: self.context.capacity.memory_bytes,
            target: self.target.as_deref(),
        };
        container_config(&parts).map_err(|error| error_chain(&error))
    }

    /// Services must be known before their variables can be.
    async fn services(&self) -> Vec<Arc<k8s_openapi::api::core::v1::Service>> {
        self.context.services.synced().await;
        let own = pods::namespace(self.pod);
        let mut services = self.context.services.in_namespace(own);
        if own != "default" {
            services.extend(self.context.services.get(&Key::new("default", "kubernetes")));
        }
        services
    }

    async fn objects(&self) -> Result<(Objects<ConfigMap>, Objects<Secret>), String> {
        let (mut maps, mut secrets) = (Objects::new(), Objects::new());
        let user = pods::uid(self.pod).to_owned();
        for name in config_map_names(self.container) {
            let key = Key::new(pods::namespace(self.pod), &name);
            let found = self.context.volumes.config_maps.get(&user, &key).await;
            maps.extend(found.map_err(|error| error_chain(&error))?.map(|map| (name, map)));
        }
        for name in secret_names(self.container) {
            let key = Key::new(pods::namespace(self.pod), &name);
            let found = self.context.volumes.secrets.get(&user, &key).await;
            secrets.extend(found.map_err(|error| error_chain(&error))?.map(|secret| (name, secret)));
        }
        Ok((maps, secrets))
    }

    fn restarts(&self) -> i32 {
        let here = self.runtime.latest(&self.container.name).map(|record| record.restart_count + 1);
        here.unwrap_or_else(|| restarts_in_api(self.pod, &self.container.name))
    }

    async fn post_start(&self, id: &str) -> Result<(), Waiting> {
        let Some(hook) = self.container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else {
            return Ok(());
        };
        let ip = self.addresses.first().map_or("", String::as_str);
        let Err(why) = hooks::run(self.context, id, ip, self.container, hook, hooks::LONGEST).await else {
            return Ok(());
        };
        let message = format!("PostStartHook failed: {why}");
        self.say(EventType::Warning, "FailedPostStartHook", &message);
        let record = ContainerRecord {
            id: id.into(),
            name: self.container.name.clone(),
            ..ContainerRecord::default()
        };
        let grace = Duration::from_secs(u64::try_from(pods::grace_seconds(self.pod)).unwrap_or(30));
        let said = Some("FailedPostStartHook");
        if let Err(error) =
            kill::container(self.context, self.pod, &record, said, grace, kill::PreStop::Run, ip).await
        {
            kill::log(self.pod, "stop after postStart", &error);
        }
        Err(waiting("PostStartHookError", message))
    }

    fn failed(&self, why: &str) {
        self.say(EventType::Warning, "Failed", &format!("Error: {why}"));
    }

    fn say(&self, kind: EventType, reason: &str, message: &str) {
        self.context.container_event(self.pod, &self.container.name, kind, reason, message);
    }
}

fn waiting(reason: &str, message: String) -> Waiting {
    Waiting { reason: reason.into(), message }
}

/// The next count after what the API remembers, if the containers themselves are gone.
fn restarts_in_api(pod: &Pod, name: &str) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let old = lists.into_iter().flatten().flatten().find(|s| s.name == name && s.container_id.is_some());
    old.map_or(0, |s| s.restart_count + 1)
}

fn config_map_names(container: &Container) -> Vec<String> {
    let keys =
        container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()?.config_map_key_ref.as_ref());
    let whole = container.env_from.iter().flatten().filter_map(|e| e.config_map_ref.as_ref());
    sorted(keys.map(|k| k.name.clone()).chain(whole.map(|w| w.name.clone())))
}

fn secret_names(container: &Container) -> Vec<String> {
    let keys = container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()?.secret_key_ref.as_ref());
    let whole = container.env_from.iter().flatten().filter_map(|e| e.secret_ref.as_ref());
    sorted(keys.map(|k| k.name.clone()).chain(whole.map(|w| w.name.clone())))
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}
