//! The life of a sandbox: run, stop, remove.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cri::v1;
use tokio::io::AsyncReadExt;

use crate::error::Error;
use crate::link;
use crate::node::Node;
use crate::record::Sandbox;
use crate::shim::SPEC;
use crate::shim::protocol::{Ready, Request, SandboxSpec};

/// A shim that says nothing for so long has failed.
const SHIM_START: Duration = Duration::from_secs(30);

impl Node {
    /// Makes a sandbox and answers its id; what was made of it goes when that fails.
    pub(crate) async fn run_sandbox(
        &self,
        config: v1::PodSandboxConfig,
        handler: String,
    ) -> Result<String, Error> {
        if !handler.is_empty() && handler != "dromon" {
            return Err(Error::Invalid(format!("no runtime for {handler:?} is configured")));
        }
        let mut sandbox = self.new_sandbox(config, handler);
        let id = sandbox.id.clone();
        match self.make_sandbox(&mut sandbox).await {
            Ok(()) => {
                self.tell(v1::ContainerEventType::ContainerCreatedEvent, &sandbox, &id);
                self.tell(v1::ContainerEventType::ContainerStartedEvent, &sandbox, &id);
                Ok(id)
            }
            Err(error) => {
                if let Err(left) = self.destroy_sandbox(&sandbox).await {
                    tracing::warn!(
                        sandbox = id,
                        error = stdx::error_chain(&left),
                        "failed sandbox not cleaned up"
                    );
                }
                Err(error)
            }
        }
    }

    fn new_sandbox(&self, config: v1::PodSandboxConfig, runtime_handler: String) -> Sandbox {
        let uid = config.metadata.as_ref().map(|m| m.uid.clone()).unwrap_or_default();
        let given = config.linux.as_ref().map(|l| l.cgroup_parent.clone()).unwrap_or_default();
        let cgroup_parent =
            if given.is_empty() { format!("{}/pod{uid}", self.config.cgroup_parent) } else { given };
        let owns_cgroup_parent = self.owns(&cgroup_parent);
        let (id, created_at) = (self.new_id(), self.now());
        Sandbox {
            id,
            config,
            runtime_handler,
            created_at,
            cgroup_parent,
            owns_cgroup_parent,
            ..Sandbox::default()
        }
    }

    /// What is not there will be ours, and what an earlier sandbox of the pod made is handed on.
    fn owns(&self, cgroup: &str) -> bool {
        let inherited = self.sandboxes().iter().any(|s| s.cgroup_parent == cgroup && s.owns_cgroup_parent);
        inherited || !self.cgroup(cgroup).exists()
    }

    async fn make_sandbox(&self, sandbox: &mut Sandbox) -> Result<(), Error> {
        let folder = self.sandbox_folder(&sandbox.id);
        fs::create_dir_all(&folder).map_err(Error::io(format!("cannot make {folder:?}")))?;
        self.save_sandbox(sandbox)?;
        write_files(sandbox, &folder).map_err(Error::io("cannot write the sandbox's files"))?;
        if sandbox.namespaces().ipc() != v1::NamespaceMode::Node {
            mount_shm(&folder.join("shm")).map_err(Error::io("cannot mount the sandbox's /dev/shm"))?;
        }
        let pause = self.start_shim(sandbox, &folder).await?;
        sandbox.pause = Some(pause);
        if !sandbox.host_network() {
            let attached = self.config.network.attach(&pod(sandbox)).await;
            let attached = attached.map_err(|source| Error::Network { id: sandbox.id.clone(), source })?;
            sandbox.addresses = attached.addresses;
        }
        sandbox.complete = true;
        self.save_sandbox(sandbox)?;
        self.put_sandbox(sandbox.clone());
        self.watch_shim(&sandbox.id).await
    }

    async fn start_shim(&self, sandbox: &Sandbox, folder: &Path) -> Result<i32, Error> {
        let spec = serde_json::to_vec(&spec(sandbox)).map_err(io::Error::other);
        let spec = spec.map_err(Error::io("cannot describe the sandbox"))?;
        fs::write(folder.join(SPEC), spec).map_err(Error::io("cannot write the sandbox's description"))?;
        let log =
            fs::File::create(folder.join("shim.log")).map_err(Error::io("cannot make the shim's log"))?;
        let mut words = self.config.shim.iter();
        let program = words.next().ok_or(Error::Invalid("no shim program is configured".to_owned()))?;
        let mut child = tokio::process::Command::new(program)
            .args(words)
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(Error::io("cannot start the shim"))?;
        let mut said = String::new();
        let mut stdout = child.stdout.take();
        // The shim is ours to reap; if we end first, init does.
        self.tasks.spawn("shim", reap(child, self.shutdown.clone()));
        if let Some(stdout) = &mut stdout {
            let read = tokio::time::timeout(SHIM_START, stdout.read_to_string(&mut said)).await;
            read.map_err(|_| Error::Timeout("start of the shim"))?
                .map_err(Error::io("cannot hear the shim"))?;
        }
        match serde_json::from_str(said.trim()) {
            Ok(Ready::Pause { pid }) => Ok(pid),
            Ok(Ready::Failed { message }) => Err(Error::Shim(link::Error::Refused { message })),
            Err(error) => Err(Error::Shim(link::Error::Lost(error.into()))),
        }
    }

    /// Kills what runs in it and gives its network back.
    pub(crate) async fn stop_sandbox(&self, id: &str) -> Result<(), Error> {
        let sandbox = match self.sandbox(id) {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        self.halt(&sandbox).await?;
        if !sandbox.detached {
            self.detach(&sandbox).await?;
            self.update_sandbox(&sandbox.id, |s| s.detached = true);
            self.save_sandbox(&self.sandbox(&sandbox.id)?)?;
        }
        Ok(())
    }

    /// Ends the shim with everything under it; what a dead shim left is killed by its cgroups.
    async fn halt(&self, sandbox: &Sandbox) -> Result<(), Error> {
        match self.link(&sandbox.id).tell(Request::Shutdown).await {
            Ok(()) => {
                // The ends of the containers are on their way to us.
                self.until(|| !self.lives(&sandbox.id)).await;
                Ok(())
            }
            Err(link::Error::Refused { message }) => Err(Error::Shim(link::Error::Refused { message })),
            Err(_) => self.kill_leftovers(sandbox),
        }
    }

    fn lives(&self, sandbox: &str) -> bool {
        self.sandbox(sandbox).is_ok_and(|s| s.pause.is_some())
            || self.containers_of(sandbox).iter().any(crate::record::Container::is_running)
    }

    fn kill_leftovers(&self, sandbox: &Sandbox) -> Result<(), Error> {
        for container in self.containers_of(&sandbox.id) {
            self.kill_cgroup(&container.spec.cgroup)?;
        }
        self.kill_cgroup(&pause_cgroup(sandbox))
    }

    /// Kills what is in a cgroup and removes it.
    pub(crate) fn kill_cgroup(&self, path: &str) -> Result<(), Error> {
        let cgroup = self.cgroup(path);
        if cgroup.exists() {
            cgroup.kill()?;
            cgroup.wait_empty(Duration::from_secs(2));
            cgroup.remove()?;
        }
        Ok(())
    }

    async fn detach(&self, sandbox: &Sandbox) -> Result<(), Error> {
        if sandbox.host_network() {
            return Ok(());
        }
        let detached = self.config.network.detach(&pod(sandbox)).await;
        detached.map_err(|source| Error::Network { id: sandbox.id.clone(), source })
    }

    /// Removes a sandbox with its containers.
    pub(crate) async fn remove_sandbox(&self, id: &str) -> Result<(), Error> {
        let sandbox = match self.sandbox(id) {
            Err(Error::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        self.stop_sandbox(&sandbox.id).await?;
        for container in self.containers_of(&sandbox.id) {
            self.remove_container(&container.id).await?;
        }
        let sandbox = self.sandbox(&sandbox.id)?;
        self.destroy_sandbox(&sandbox).await?;
        self.drop_sandbox(&sandbox.id);
        self.tell(v1::ContainerEventType::ContainerDeletedEvent, &sandbox, &sandbox.id);
        Ok(())
    }

    /// Leaves nothing of a sandbox, whatever state it is in.
    pub(crate) async fn destroy_sandbox(&self, sandbox: &Sandbox) -> Result<(), Error> {
        self.halt(sandbox).await?;
        if !sandbox.detached {
            self.detach(sandbox).await?;
        }
        self.drop_sandbox(&sandbox.id);
        self.kill_cgroup(&pause_cgroup(sandbox))?;
        if sandbox.owns_cgroup_parent {
            self.remove_parent(&sandbox.cgroup_parent);
        }
        let folder = self.sandbox_folder(&sandbox.id);
        linux::mount::unmount_below(&folder)
            .map_err(Error::io("cannot unmount the sandbox's file systems"))?;
        remove_folder(&folder)
    }

    /// Other sandboxes of the pod may still be in it: then the last one removes it.
    fn remove_parent(&self, parent: &str) {
        let used = self.sandboxes().iter().any(|s| s.cgroup_parent == parent);
        if let Some(Err(error)) = (!used).then(|| self.cgroup(parent).remove()) {
            tracing::debug!(parent, error = stdx::error_chain(&error), "pod cgroup left");
        }
    }
}

/// A folder that is not there is removed already.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {folder:?}"))(error))
        }
        _ => Ok(()),
    }
}

async fn reap(mut child: tokio::process::Child, shutdown: stdx::Shutdown) {
    tokio::select! {
        ended = child.wait() => match ended {
            Ok(status) => tracing::debug!(%status, "shim ended"),
            Err(error) => tracing::warn!(%error, "cannot wait for a shim"),
        },
        // The shim lives on without us.
        () = shutdown.wait() => {}
    }
}

fn pause_cgroup(sandbox: &Sandbox) -> String {
    format!("{}/{}", sandbox.cgroup_parent, sandbox.id)
}

fn spec(sandbox: &Sandbox) -> SandboxSpec {
    let namespaces = sandbox.namespaces();
    let linux = sandbox.config.linux.clone().unwrap_or_default();
    let mut sysctls: std::collections::BTreeMap<_, _> = linux.sysctls.into_iter().collect();
    let host_network = sandbox.host_network();
    if !host_network {
        // As containerd: a container that is not root may bind low ports and send pings.
        sysctls.entry("net.ipv4.ip_unprivileged_port_start".to_owned()).or_insert_with(|| "0".to_owned());
        sysctls.entry("net.ipv4.ping_group_range".to_owned()).or_insert_with(|| "0 2147483647".to_owned());
    }
    SandboxSpec {
        id: sandbox.id.clone(),
        hostname: sandbox.config.hostname.clone(),
        host_network,
        host_ipc: namespaces.ipc() == v1::NamespaceMode::Node,
        pod_pid: namespaces.pid() == v1::NamespaceMode::Pod,
        sysctls,
        cgroup: pause_cgroup(sandbox),
    }
}

/// A sandbox as the network sees it.
pub(crate) fn pod(sandbox: &Sandbox) -> network::Pod {
    let metadata = sandbox.metadata();
    let ports = sandbox.config.port_mappings.iter().filter(|p| p.host_port > 0).filter_map(port).collect();
    network::Pod {
        sandbox_id: sandbox.id.clone(),
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        netns: format!("/proc/{}/ns/net", sandbox.pause.unwrap_or_default()).into(),
        ports,
    }
}

fn port(mapping: &v1::PortMapping) -> Option<network::PortMapping> {
    let protocol = match mapping.protocol() {
        v1::Protocol::Tcp => network::Protocol::Tcp,
        v1::Protocol::Udp => network::Protocol::Udp,
        v1::Protocol::Sctp => network::Protocol::Sctp,
    };
    Some(network::PortMapping {
        protocol,
        // The API server refuses numbers that are no ports.
        container_port: u16::try_from(mapping.container_port).ok()?,
        host_port: u16::try_from(mapping.host_port).ok()?,
        host_ip: mapping.host_ip.parse().ok(),
    })
}

fn write_files(sandbox: &Sandbox, folder: &Path) -> io::Result<()> {
    let resolv = match &sandbox.config.dns_config {
        Some(dns) => resolv_conf(dns),
        // A host without the file has no resolver to hand on.
        None => fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    };
    fs::write(folder.join("resolv.conf"), resolv)?;
    let host_name = || nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let name =
        if sandbox.config.hostname.is_empty() { host_name()? } else { sandbox.config.hostname.clone() };
    fs::write(folder.join("hostname"), format!("{name}\n"))?;
    let hosts = if sandbox.host_network() { fs::read_to_string("/etc/hosts").ok() } else { None };
    let hosts = hosts.unwrap_or_else(|| "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n".to_owned());
    fs::write(folder.join("hosts"), hosts)
}

fn resolv_conf(dns: &v1::DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text.push_str(&format!("search {}\n", dns.searches.join(" ")));
    }
    for server in &dns.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !dns.options.is_empty() {
        text.push_str(&format!("options {}\n", dns.options.join(" ")));
    }
    text
}

fn mount_shm(at: &Path) -> io::Result<()> {
    let attributes =
        linux::mount::Attributes { no_suid: true, no_dev: true, no_exec: true, read_only: false };
    fs::create_dir_all(at)?;
    let shm = linux::mount::new_filesystem("tmpfs", "shm", &[("mode", "1777"), ("size", "64m")], attributes)?;
    linux::mount::attach(shm.as_fd(), at)
}
