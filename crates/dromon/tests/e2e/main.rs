//! A whole cluster on real containers, driven from outside as a user would. Needs root.

mod clients;
mod first_light;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};

const IMAGE: &str = "dromon.dev/demo:latest";
/// Longest wait for anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster with ports and addresses of its own, removed in the end.
struct Cluster {
    data: PathBuf,
    api_port: u16,
    kubelet_port: u16,
    pod_cidr: &'static str,
    _folder: tempfile::TempDir,
}

impl Cluster {
    fn new(api_port: u16, kubelet_port: u16, pod_cidr: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { data: folder.path().join("data"), api_port, kubelet_port, pod_cidr, _folder: folder }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dromon"));
        command.arg(name).arg("--data-dir").arg(&self.data);
        command
    }

    fn up(&self) -> Output {
        let (api, kubelet) = (self.api_port.to_string(), self.kubelet_port.to_string());
        let mut up = self.command("up");
        up.args(["--detach", "--api-port", &api, "--kubelet-port", &kubelet, "--pod-cidr", self.pod_cidr]);
        up.output().expect("dromon starts")
    }

    fn must_come_up(&self) {
        let output = self.up();
        let log = std::fs::read_to_string(self.data.join("dromon.log")).unwrap_or_default();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}\n{log}", String::from_utf8_lossy(&output.stderr));
    }

    async fn client(&self) -> Client {
        // Chosen once a process; a second choice is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(self.data.join("admin.kubeconfig")).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        Client::try_from(config.expect("a usable kubeconfig")).expect("a client")
    }

    fn pid(&self) -> i32 {
        std::fs::read_to_string(self.data.join("dromon.pid"))
            .expect("a pid file")
            .trim()
            .parse()
            .expect("a pid")
    }

    fn kill(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a pid");
        let process =
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("it runs");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("may be killed");
        let mut ended = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut ended, None).expect("ends");
    }

    /// The beginning of the pods' addresses as `/proc/net/route` writes it: the lowest byte comes first.
    fn route(&self) -> String {
        let network: std::net::Ipv4Addr =
            self.pod_cidr.split('/').next().and_then(|network| network.parse().ok()).expect("a range");
        format!("{:08X}", u32::from_le_bytes(network.octets()))
    }

    fn reset(&self) {
        let output = self.command("reset").arg("--yes").output().expect("dromon starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mounts = std::fs::read_to_string("/proc/mounts").expect("readable");
        assert!(!mounts.contains(&*self.data.to_string_lossy()), "a mount is left: {mounts}");
        assert!(!self.data.exists(), "data is left");
        let routes = std::fs::read_to_string("/proc/net/route").expect("readable");
        assert!(!routes.contains(&self.route()), "a bridge is left: {routes}");
    }
}

impl Drop for Cluster {
    /// A test that failed leaves nothing behind either; its own failure is what counts.
    fn drop(&mut self) {
        let _ = self.command("reset").arg("--yes").output();
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("containers need root: this test did nothing");
    }
    root
}

/// The first state of an object that holds, along its watch.
async fn until<K>(api: &Api<K>, fields: &str, holds: impl Fn(&K) -> bool) -> K
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let search = async {
        loop {
            let list = api.list(&ListParams::default().fields(fields)).await.expect("lists");
            if let Some(found) = list.items.into_iter().find(|object| holds(object)) {
                return found;
            }
            let version = list.metadata.resource_version.unwrap_or_default();
            let params = WatchParams::default().fields(fields);
            let mut events = api.watch(&params, &version).await.expect("watches").boxed();
            while let Some(event) = events.next().await {
                if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event.expect("an event")
                    && holds(&object)
                {
                    return object;
                }
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, search).await;
    match found {
        Ok(found) => found,
        Err(_) => {
            let list = api.list(&ListParams::default()).await.expect("lists");
            panic!("not within {PATIENCE:?}: {fields}; there is: {:#?}", list.items)
        }
    }
}

fn is_running(data: &Path) -> bool {
    let pid = std::fs::read_to_string(data.join("dromon.pid")).unwrap_or_default();
    Path::new("/proc").join(pid.trim()).join("fd").exists() && !pid.trim().is_empty()
}
