//! The life of a container: create, start, stop, remove.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use cri::v1;

use crate::error::Error;
use crate::images::Rootfs;
use crate::link;
use crate::node::Node;
use crate::record::{Container, Sandbox, State};
use crate::sandboxes::remove_folder;
use crate::shim::protocol::{Exit, Reply, Request};
use crate::spec::{self, Places};

/// Exit code of a container that could not be started.
///
/// Upstream: containerd internal/cri/server/container_start.go, `errorStartExitCode`.
const START_ERROR: i32 = 128;
/// How long the kernel may take to kill.
const KILL: Duration = Duration::from_secs(30);

impl Node {
    pub(crate) async fn create_container(
        &self,
        request: v1::CreateContainerRequest,
    ) -> Result<String, Error> {
        let sandbox = self.sandbox(&request.pod_sandbox_id)?;
        if !sandbox.is_ready() {
            return Err(Error::State { kind: "sandbox", id: sandbox.id, wanted: "ready" });
        }
        let config =
            request.config.ok_or_else(|| Error::Invalid("container config is missing".to_owned()))?;
        let id = self.new_id();
        let folder = self.container_folder(&id);
        fs::create_dir_all(&folder).map_err(Error::io(format!("cannot make {folder:?}")))?;
        match self.make_container(&id, config, &sandbox).await {
            Ok(container) => {
                self.put_container(container);
                self.tell(v1::ContainerEventType::ContainerCreatedEvent, &sandbox, &id);
                Ok(id)
            }
            Err(error) => {
                if let Err(left) = self.destroy_container(&id).await {
                    tracing::warn!(
                        container = id,
                        error = stdx::error_chain(&left),
                        "container not cleaned up"
                    );
                }
                Err(error)
            }
        }
    }

    async fn make_container(
        &self,
        id: &str,
        config: v1::ContainerConfig,
        sandbox: &Sandbox,
    ) -> Result<Container, Error> {
        let image = config.image.as_ref().map(|i| i.image.clone()).unwrap_or_default();
        let rootfs = self.config.images.prepare_rootfs(&image, id).await?;
        let volumes = self.image_volumes(id, &config).await?;
        let (sandbox_folder, folder) = (self.sandbox_folder(&sandbox.id), self.container_folder(id));
        let places = Places { sandbox: &sandbox_folder, container: &folder };
        let spec = spec::container(id, &config, sandbox, &rootfs, &volumes, &places)?;
        let container = Container {
            id: id.to_owned(),
            sandbox_id: sandbox.id.clone(),
            created_at: self.now(),
            log_path: spec.log.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            stop_signal: stop_signal(&config, &rootfs),
            image_id: rootfs.image_id,
            image_ref: rootfs.image_ref,
            config,
            spec,
            start_error: None,
            state: State::Created,
        };
        self.save_container(&container)?;
        Ok(container)
    }

    /// Mounts the images that are volumes, by their place in the list of mounts.
    async fn image_volumes(
        &self,
        id: &str,
        config: &v1::ContainerConfig,
    ) -> Result<Vec<(usize, PathBuf)>, Error> {
        let mut found = Vec::new();
        for (index, mount) in config.mounts.iter().enumerate() {
            if let Some(image) = &mount.image {
                found.push((index, self.config.images.prepare_volume(&image.image, id).await?));
            }
        }
        Ok(found)
    }

    pub(crate) async fn start_container(&self, id: &str) -> Result<(), Error> {
        let container = self.container(id)?;
        let id = container.id.clone();
        if container.state != State::Created {
            return Err(Error::State { kind: "container", id, wanted: "in created state" });
        }
        let sandbox = self.sandbox(&container.sandbox_id)?;
        let request = Request::Start(Box::new(container.spec));
        match self.link(&sandbox.id).ask(request, Vec::new()).await {
            Ok(answer) => {
                if let Reply::Started { pid, user } = answer.reply {
                    self.started(&id, pid, user);
                }
                self.tell(v1::ContainerEventType::ContainerStartedEvent, &sandbox, &id);
                Ok(())
            }
            Err(source) => {
                self.start_failed(&sandbox, &id, &source)?;
                Err(Error::Start { id, source })
            }
        }
    }

    /// A container that ends at once may be known to have ended before its start is answered.
    fn started(&self, id: &str, pid: i32, user: crate::shim::protocol::User) {
        let started_at = self.now();
        self.update_container(id, |container| {
            if container.state == State::Created {
                container.state = State::Running { pid, started_at, user };
            }
        });
    }

    fn start_failed(&self, sandbox: &Sandbox, id: &str, why: &link::Error) -> Result<(), Error> {
        let finished_at = self.now();
        let exit = Exit { code: START_ERROR, finished_at, ..Exit::default() };
        let bytes = serde_json::to_vec(&exit).map_err(std::io::Error::other);
        let written = bytes.and_then(|bytes| fs::write(self.container_folder(id).join("exit.json"), bytes));
        written.map_err(Error::io("cannot write down the end of the container"))?;
        self.update_container(id, |container| {
            container.start_error = Some(stdx::error_chain(why));
            container.state = State::Exited(exit);
        });
        self.save_container(&self.container(id)?)?;
        self.tell(v1::ContainerEventType::ContainerStoppedEvent, sandbox, id);
        Ok(())
    }

    /// Asks it to end, and makes it end once `grace` has passed.
    pub(crate) async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Error> {
        let container = match self.container(id) {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        if !container.is_running() {
            return Ok(());
        }
        let link = self.link(&container.sandbox_id);
        if !grace.is_zero() {
            link.tell(Request::Signal { id: container.id.clone(), signal: container.stop_signal }).await?;
            if self.ended_within(&container.id, grace).await {
                return Ok(());
            }
        }
        link.tell(Request::Kill { id: container.id.clone() }).await?;
        if self.ended_within(&container.id, KILL).await {
            Ok(())
        } else {
            Err(Error::Timeout("kill of the container"))
        }
    }

    async fn ended_within(&self, id: &str, time: Duration) -> bool {
        tokio::select! {
            () = self.until(|| !self.container(id).is_ok_and(|c| c.is_running())) => true,
            () = self.config.clock.sleep(time) => false,
        }
    }

    pub(crate) async fn remove_container(&self, id: &str) -> Result<(), Error> {
        let container = match self.container(id) {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        self.stop_container(&container.id, Duration::ZERO).await?;
        match self.link(&container.sandbox_id).tell(Request::Forget { id: container.id.clone() }).await {
            Err(link::Error::Refused { message }) => {
                return Err(Error::Shim(link::Error::Refused { message }));
            }
            // Without a shim there is nobody to forget it.
            _ => self.kill_cgroup(&container.spec.cgroup)?,
        }
        self.destroy_container(&container.id).await?;
        if let Ok(sandbox) = self.sandbox(&container.sandbox_id) {
            self.tell(v1::ContainerEventType::ContainerDeletedEvent, &sandbox, &container.id);
        }
        Ok(())
    }

    async fn destroy_container(&self, id: &str) -> Result<(), Error> {
        self.config.images.remove_rootfs(id).await?;
        remove_folder(&self.container_folder(id))?;
        self.drop_container(id);
        Ok(())
    }

    pub(crate) fn update_resources(
        &self,
        id: &str,
        linux: &v1::LinuxContainerResources,
    ) -> Result<(), Error> {
        let mut container = self.container(id)?;
        let resources = spec::resources(linux);
        if container.is_running() {
            self.cgroup(&container.spec.cgroup).apply(&(&resources).into())?;
        }
        merge(container.config.linux.get_or_insert_default().resources.get_or_insert_default(), linux);
        if let Some(all) = container.config.linux.as_ref().and_then(|l| l.resources.as_ref()) {
            container.spec.resources = spec::resources(all);
        }
        self.save_container(&container)?;
        let (config, spec) = (container.config, container.spec);
        self.update_container(&container.id, |kept| {
            kept.config = config;
            kept.spec = spec;
        });
        Ok(())
    }

    pub(crate) async fn reopen_log(&self, id: &str) -> Result<(), Error> {
        let container = self.running(id)?;
        Ok(self.link(&container.sandbox_id).tell(Request::ReopenLog { id: container.id }).await?)
    }

    pub(crate) fn running(&self, id: &str) -> Result<Container, Error> {
        let container = self.container(id)?;
        if container.is_running() {
            Ok(container)
        } else {
            Err(Error::State { kind: "container", id: container.id, wanted: "running" })
        }
    }
}

/// What is given replaces what was.
fn merge(into: &mut v1::LinuxContainerResources, from: &v1::LinuxContainerResources) {
    for (old, new) in [
        (&mut into.cpu_period, from.cpu_period),
        (&mut into.cpu_quota, from.cpu_quota),
        (&mut into.cpu_shares, from.cpu_shares),
        (&mut into.memory_limit_in_bytes, from.memory_limit_in_bytes),
        (&mut into.memory_swap_limit_in_bytes, from.memory_swap_limit_in_bytes),
        (&mut into.oom_score_adj, from.oom_score_adj),
    ] {
        if new != 0 {
            *old = new;
        }
    }
    for (old, new) in [(&mut into.cpuset_cpus, &from.cpuset_cpus), (&mut into.cpuset_mems, &from.cpuset_mems)]
    {
        if !new.is_empty() {
            old.clone_from(new);
        }
    }
    into.unified.extend(from.unified.clone());
}

/// The pod's wish, then the image's, then SIGTERM.
fn stop_signal(config: &v1::ContainerConfig, rootfs: &Rootfs) -> i32 {
    match config.stop_signal() {
        v1::Signal::RuntimeDefault => spec::signal_number(&rootfs.stop_signal),
        signal => spec::signal_number(signal.as_str_name()),
    }
}
