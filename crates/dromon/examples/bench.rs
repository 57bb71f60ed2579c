//! Drives a real cluster and prints what it costs, beside the goals. `cargo xtask bench` runs it.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;
use stdx::Clock;

const IMAGE: &str = "dromon.dev/demo:latest";
/// Away from the ports and addresses of a cluster that may run already.
const PLACE: [&str; 6] = ["--api-port", "18443", "--kubelet-port", "20450", "--pod-cidr", "10.252.0.0/24"];
const OBJECTS: usize = 2000;
const CALLERS: usize = 32;
const WATCHERS: usize = 100;

fn main() -> Result<()> {
    let idle_s: u64 =
        std::env::args().nth(1).map_or(Ok(60), |text| text.parse()).context("seconds of idling")?;
    // Both TLS sides use ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let clock = Clock::system();
    let cluster = Cluster::start(&clock)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bench = Bench { client: cluster.client().await?, clock, pid: cluster.pid()? };
        bench.idle(idle_s).await?;
        bench.single_pods(20).await?;
        bench.burst(50).await?;
        bench.requests().await
    })
}

fn row(what: &str, value: f64, unit: &str, beside: &str) {
    println!("{what:<42} {value:>10.2} {unit:<6} {beside}");
}

/// A cluster of its own, removed in the end.
struct Cluster {
    binary: PathBuf,
    data: PathBuf,
}

impl Cluster {
    fn start(clock: &Clock) -> Result<Self> {
        let example = std::env::current_exe()?;
        let release =
            example.parent().and_then(Path::parent).context("the example lies in target/release/examples")?;
        let data = std::env::temp_dir().join(format!("dromon-bench-{}", std::process::id()));
        let cluster = Self { binary: release.join("dromon"), data };
        let began = clock.monotonic();
        let up = cluster
            .command("up")
            .arg("--detach")
            .args(PLACE)
            .stdout(Stdio::null())
            .status()
            .context("cannot start dromon")?;
        ensure!(up.success(), "the cluster did not come up");
        row("up to a Ready node", (clock.monotonic() - began).as_secs_f64(), "s", "goal 2");
        Ok(cluster)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(name).arg("--data-dir").arg(&self.data);
        command
    }

    async fn client(&self) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.data.join("admin.kubeconfig"))?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    fn pid(&self) -> Result<u32> {
        Ok(fs::read_to_string(self.data.join("dromon.pid"))?.trim().parse()?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let reset = self.command("reset").arg("--yes").stdout(Stdio::null()).status();
        if !reset.is_ok_and(|status| status.success()) {
            eprintln!(
                "the benchmark's cluster is still there: dromon reset --data-dir {}",
                self.data.display()
            );
        }
    }
}

struct Bench {
    client: Client,
    clock: Clock,
    pid: u32,
}

/// User and system time of a process, in seconds.
fn cpu(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = text.rsplit_once(") ").context("/proc/PID/stat is not understood")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

/// Resident memory, in MB.
fn resident(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no value")?.parse::<f64>()? * 1024.0 / 1e6)
}

impl Bench {
    async fn idle(&self, seconds: u64) -> Result<()> {
        // What starting left to do is not idling.
        self.clock.sleep(Duration::from_secs(5)).await;
        let before = cpu(self.pid)?;
        self.clock.sleep(Duration::from_secs(seconds)).await;
        row("CPU of the idle process", (cpu(self.pid)? - before) / seconds as f64 * 100.0, "%", "goal 1");
        row("resident memory of the idle process", resident(self.pid)?, "MB", "goal 100");
        Ok(())
    }

    /// Create to Running, as a client that watches sees it.
    async fn single_pods(&self, count: usize) -> Result<()> {
        let pods: Api<Pod> = Api::default_namespaced(self.client.clone());
        let mut times = Vec::new();
        for number in 0..count {
            let name = format!("single-{number}");
            let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent"}]}}))?;
            let version =
                pods.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
            let only = WatchParams::default().fields(&format!("metadata.name={name}"));
            let mut events = pods.watch(&only, &version).await?.boxed();
            let began = self.clock.monotonic();
            pods.create(&PostParams::default(), &pod).await?;
            while let Some(event) = events.next().await {
                let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event? else { continue };
                if pod.status.and_then(|status| status.phase).as_deref() == Some("Running") {
                    break;
                }
            }
            times.push((self.clock.monotonic() - began).as_secs_f64() * 1000.0);
            pods.delete(&name, &DeleteParams::default()).await?;
        }
        times.sort_by(f64::total_cmp);
        row(
            "one pod, create to Running (median of 20)",
            times[times.len() / 2],
            "ms",
            "goal 150, upstream 477",
        );
        Ok(())
    }

    async fn burst(&self, count: i32) -> Result<()> {
        let deployments: Api<Deployment> = Api::default_namespaced(self.client.clone());
        let deployment: Deployment = serde_json::from_value(json!({"metadata": {"name": "burst"}, "spec": {
            "replicas": count, "selector": {"matchLabels": {"app": "burst"}},
            "template": {"metadata": {"labels": {"app": "burst"}}, "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent"}]}}}}))?;
        let began = self.clock.monotonic();
        let created = deployments.create(&PostParams::default(), &deployment).await?;
        let version = created.metadata.resource_version.unwrap_or_default();
        let only = WatchParams::default().fields("metadata.name=burst");
        let mut events = deployments.watch(&only, &version).await?.boxed();
        while let Some(event) = events.next().await {
            let (WatchEvent::Added(d) | WatchEvent::Modified(d)) = event? else { continue };
            if d.status.and_then(|status| status.available_replicas) == Some(count) {
                break;
            }
        }
        row(
            &format!("{count} pods at once, all available"),
            (self.clock.monotonic() - began).as_secs_f64(),
            "s",
            "upstream 5.3",
        );
        row("resident memory with them", resident(self.pid)?, "MB", "");
        deployments.delete("burst", &DeleteParams::foreground()).await?;
        Ok(())
    }

    async fn requests(&self) -> Result<()> {
        let maps: Api<ConfigMap> = Api::default_namespaced(self.client.clone());
        let name = |number: usize| format!("bench-{number}");
        let data = "x".repeat(1024);
        self.phase("create config maps of 1 KiB", OBJECTS, |number| {
            let (maps, data) = (maps.clone(), data.clone());
            async move {
                let map =
                    serde_json::from_value(json!({"metadata": {"name": name(number)}, "data": {"k": data}}))?;
                maps.create(&PostParams::default(), &map).await?;
                Ok(())
            }
        })
        .await?;
        self.phase("get", OBJECTS, |number| {
            let maps = maps.clone();
            async move { Ok(maps.get(&name(number)).await.map(|_| ())?) }
        })
        .await?;
        self.phase("list of 2,000", 50, |_| {
            let maps = maps.clone();
            async move { Ok(maps.list(&ListParams::default()).await.map(|_| ())?) }
        })
        .await?;
        self.watched(&maps).await
    }

    /// Patches while watchers look on; every watcher must see every patch.
    async fn watched(&self, maps: &Api<ConfigMap>) -> Result<()> {
        const PATCHES: usize = 500;
        let version =
            maps.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
        let watchers = (0..WATCHERS).map(|_| async {
            let mut events = maps.watch(&WatchParams::default(), &version).await?.boxed();
            let mut seen = 0;
            while seen < PATCHES {
                match events.next().await.context("a watch ended early")?? {
                    WatchEvent::Modified(_) => seen += 1,
                    _ => continue,
                }
            }
            Ok::<_, anyhow::Error>(seen)
        });
        let began = self.clock.monotonic();
        let patches = self.phase("patch, under 100 watchers", PATCHES, |number| {
            let maps = maps.clone();
            async move {
                let patch = Patch::Merge(json!({"data": {"n": number.to_string()}}));
                maps.patch(&format!("bench-{number}"), &PatchParams::default(), &patch).await?;
                Ok(())
            }
        });
        let (seen, ()) = tokio::try_join!(try_join_all(watchers), patches)?;
        let took = (self.clock.monotonic() - began).as_secs_f64();
        row("watch events delivered", seen.iter().sum::<usize>() as f64 / took, "/s", "");
        Ok(())
    }

    /// `count` calls by many callers at once.
    async fn phase<F, C>(&self, what: &str, count: usize, call: C) -> Result<()>
    where
        F: Future<Output = Result<()>>,
        C: Fn(usize) -> F,
    {
        let (next, before, began) = (AtomicUsize::new(0), cpu(self.pid)?, self.clock.monotonic());
        let callers = (0..CALLERS).map(|_| async {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, anyhow::Error>(());
                }
                call(number).await?;
            }
        });
        try_join_all(callers).await?;
        let took = (self.clock.monotonic() - began).as_secs_f64();
        let each = (cpu(self.pid)? - before) * 1e6 / count as f64;
        row(what, count as f64 / took, "/s", &format!("{each:.0} µs of server CPU each"));
        Ok(())
    }
}
