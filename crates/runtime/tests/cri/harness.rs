//! A server in a process of its own, a folder and a cgroup of its own, and a client.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cri::v1;
use cri::v1::runtime_service_client::RuntimeServiceClient;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};

pub struct Server {
    pub folder: tempfile::TempDir,
    process: Child,
    pub client: RuntimeServiceClient<Channel>,
}

impl Server {
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("runtime.").tempdir().unwrap();
        let process = spawn(folder.path());
        let client = connect(folder.path()).await;
        Self { folder, process, client }
    }

    /// As a crash or a power cut would.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::fs::remove_file(self.folder.path().join("cri.sock")).unwrap();
    }

    pub async fn start_again(&mut self) {
        self.process = spawn(self.folder.path());
        self.client = connect(self.folder.path()).await;
    }

    pub fn name(&self) -> String {
        self.folder.path().file_name().unwrap().to_str().unwrap().to_owned()
    }

    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    pub async fn sandbox(&mut self, change: impl FnOnce(&mut v1::PodSandboxConfig)) -> String {
        let config = sandbox_config(&self.logs(), change);
        let request = v1::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        self.client.run_pod_sandbox(request).await.unwrap().into_inner().pod_sandbox_id
    }

    pub async fn create(
        &mut self,
        sandbox: &str,
        command: &[&str],
        change: impl FnOnce(&mut v1::ContainerConfig),
    ) -> String {
        let mut config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: "c".to_owned(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: "busybox".to_owned(), ..Default::default() }),
            command: command.iter().map(|s| (*s).to_owned()).collect(),
            log_path: "c/0.log".to_owned(),
            linux: Some(v1::LinuxContainerConfig {
                resources: None,
                security_context: Some(v1::LinuxContainerSecurityContext {
                    namespace_options: Some(v1::NamespaceOption {
                        pid: v1::NamespaceMode::Container as i32,
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        };
        change(&mut config);
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: None,
        };
        self.client.create_container(request).await.unwrap().into_inner().container_id
    }

    pub async fn start_container(&mut self, id: &str) {
        self.client.start_container(v1::StartContainerRequest { container_id: id.to_owned() }).await.unwrap();
    }

    pub async fn run(&mut self, sandbox: &str, command: &[&str]) -> String {
        let id = self.create(sandbox, command, |_| {}).await;
        self.start_container(&id).await;
        id
    }

    pub async fn status(&mut self, id: &str) -> v1::ContainerStatus {
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        self.client.container_status(request).await.unwrap().into_inner().status.unwrap()
    }

    /// Waits for the container's end by its events.
    pub async fn ended(&mut self, id: &str) -> v1::ContainerStatus {
        let mut events =
            self.client.get_container_events(v1::GetEventsRequest {}).await.unwrap().into_inner();
        let wait = async {
            loop {
                let status = self.status(id).await;
                if status.state() == v1::ContainerState::ContainerExited {
                    return status;
                }
                events.message().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the container does not end")
    }

    pub async fn exec(&mut self, id: &str, command: &str) -> (String, i32) {
        let request = v1::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: ["sh", "-c", command].map(str::to_owned).to_vec(),
            timeout: 10,
        };
        let done = self.client.exec_sync(request).await.unwrap().into_inner();
        let text = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        (text, done.exit_code)
    }

    pub async fn remove_sandbox(&mut self, id: &str) {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.client.remove_pod_sandbox(request).await.unwrap();
    }

    /// Kills the shims, as the kernel might for want of memory.
    pub fn end_shims(&self) {
        end_shims(self.folder.path());
    }

    /// What is left of this server's sandboxes on the machine.
    pub fn traces(&self) -> Vec<String> {
        let mut found = Vec::new();
        let folder = self.folder.path().to_str().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(folder)).map(str::to_owned));
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if command.contains("shim") && command.contains(folder) {
                found.push(command);
            }
        }
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let own = hierarchy.path().join(self.name());
            let below = std::fs::read_dir(&own).into_iter().flatten().flatten();
            found.extend(below.filter(|e| e.path().is_dir()).map(|e| e.path().display().to_string()));
        }
        for name in ["runtime/sandboxes", "runtime/containers", "rootfs"] {
            let entries = std::fs::read_dir(self.folder.path().join(name)).into_iter().flatten().flatten();
            found.extend(entries.map(|e| e.path().display().to_string()));
        }
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Best effort: a test that failed has said so already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        end_shims(self.folder.path());
        let hierarchies = std::sync::Arc::new(linux::cgroup::Hierarchies::discover().unwrap());
        let cgroup = linux::cgroup::Cgroup::new(hierarchies, &self.name());
        let _ = cgroup.kill();
        cgroup.wait_empty(Duration::from_secs(5));
        let _ = cgroup.remove();
        let _ = linux::mount::unmount_below(self.folder.path());
    }
}

fn end_shims(folder: &Path) {
    let folder = folder.to_str().unwrap();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|_| command.contains("shim") && command.contains(folder)) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn spawn(folder: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("server.log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_runtime-helper"))
        .arg("serve")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

async fn connect(folder: &Path) -> RuntimeServiceClient<Channel> {
    let socket = folder.join("cri.sock");
    let appears = async {
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), appears).await.expect("the server does not start");
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://runtime").connect_with_connector(connector).await.unwrap();
    RuntimeServiceClient::new(channel)
}

fn sandbox_config(logs: &Path, change: impl FnOnce(&mut v1::PodSandboxConfig)) -> v1::PodSandboxConfig {
    let mut config = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "p".to_owned(),
            uid: "u1".to_owned(),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        hostname: "p-host".to_owned(),
        log_directory: logs.display().to_string(),
        labels: [("app".to_owned(), "test".to_owned())].into(),
        linux: Some(v1::LinuxPodSandboxConfig {
            security_context: Some(v1::LinuxSandboxSecurityContext {
                namespace_options: Some(v1::NamespaceOption {
                    pid: v1::NamespaceMode::Container as i32,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    change(&mut config);
    config
}
