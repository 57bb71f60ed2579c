//! A cluster on one machine: how its parts are put together.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use apiserver::auth::UserInfo;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use stdx::{Clock, Random, Shutdown, Tasks, error_chain};
use tokio::sync::mpsc;

use crate::cli::Up;
use crate::dns_server;
use crate::layout::Layout;
use crate::node;
use crate::progress::Progress;
use crate::up::is_ready;

/// The MTU of pods on one machine: the bridge never leaves it.
const MTU: u32 = 1500;

/// A running cluster.
pub struct Cluster {
    server: apiserver::Handle,
    engine: Arc<dyn store::Engine>,
    tasks: Tasks,
    failures: tokio::sync::Mutex<mpsc::Receiver<anyhow::Error>>,
}

/// What every part is started with.
struct Parts<'a> {
    options: &'a Up,
    layout: &'a Layout,
    clock: Clock,
    random: Random,
    shutdown: Shutdown,
    tasks: Tasks,
    failed: mpsc::Sender<anyhow::Error>,
}

pub fn network_config(layout: &Layout) -> network::Config {
    network::Config { bridge: layout.bridge(), state: layout.addresses(), table: layout.table(), mtu: MTU }
}

/// The runtime of this folder, its pod network ready.
pub async fn runtime_config(
    layout: &Layout,
    pod_cidr: &str,
    clock: &Clock,
    random: &Random,
) -> Result<runtime::Config> {
    let network = Arc::new(network::Bridge::new(network_config(layout)));
    let (cidr, set_up) = (pod_cidr.to_owned(), network.clone());
    let set_up = tokio::task::spawn_blocking(move || network::PodNetwork::set_pod_cidr(&*set_up, &cidr));
    set_up
        .await
        .context("setting up the pod network ended early")?
        .context("cannot set up the pod network")?;
    let images = runtime::images::Store::open(&layout.images(), clock.clone())
        .context("cannot open the image store")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    Ok(runtime::Config {
        root: layout.runtime(),
        socket: layout.cri_socket(),
        cgroup_parent: format!("/{}", layout.cgroup()),
        shim: vec![program.into(), "shim".into()],
        images: Arc::new(images),
        network,
        clock: clock.clone(),
        random: random.clone(),
    })
}

impl Cluster {
    pub async fn start(
        options: &Up,
        layout: &Layout,
        clock: Clock,
        shutdown: &Shutdown,
        progress: &mut Progress,
    ) -> Result<Self> {
        let (failed, failures) = mpsc::channel(1);
        let random = Random::system();
        let (shutdown, tasks) = (shutdown.clone(), Tasks::new());
        let parts = Parts { options, layout, clock, random, shutdown, tasks: tasks.clone(), failed };
        let pki = parts.pki()?;
        progress.done("certificates");
        let engine = parts.store().await?;
        progress.done("store");
        let server = parts.server(&pki, &engine).await?;
        parts.kubeconfig(&pki)?;
        progress.done(&format!("API server on https://127.0.0.1:{}", options.api_port));
        parts.controllers(&server, &pki);
        parts.scheduler(&server);
        progress.done("controllers and scheduler");
        parts.runtime().await?;
        progress.done("container runtime and pod network");
        let names = parts.dns(&server).await?;
        progress.done(&dns_server::describe(names));
        parts.kubelet(&server, names);
        parts.proxy(&server)?;
        Ok(Self { server, engine, tasks, failures: tokio::sync::Mutex::new(failures) })
    }

    /// Returns once the node tells that it is Ready.
    pub async fn node_ready(&self, name: &str) -> Result<()> {
        let ready = async {
            loop {
                if watch_until_ready(self.server.client(UserInfo::apiserver()), name).await? {
                    return Ok::<_, anyhow::Error>(());
                }
            }
        };
        tokio::select! {
            ready = ready => ready.context("cannot watch the node"),
            error = self.failed() => Err(error),
        }
    }

    /// Returns when a part that the cluster cannot be without has ended.
    pub async fn failed(&self) -> anyhow::Error {
        self.failures.lock().await.recv().await.unwrap_or_else(|| anyhow!("all parts have ended"))
    }

    /// Returns once everything has ended after a shutdown.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
        self.server.stopped().await;
        if let Err(error) = self.engine.close().await {
            tracing::error!(error = error_chain(&error), "the store did not close in order");
        }
    }
}

/// True once the node is Ready; false when the watch ended before.
async fn watch_until_ready(client: Client, name: &str) -> kube::Result<bool> {
    let nodes: Api<Node> = Api::all(client);
    let only = format!("metadata.name={name}");
    let list = nodes.list(&ListParams::default().fields(&only)).await?;
    if list.items.iter().any(is_ready) {
        return Ok(true);
    }
    let version = list.metadata.resource_version.unwrap_or_default();
    let mut events = nodes.watch(&WatchParams::default().fields(&only), &version).await?.boxed();
    while let Some(event) = events.next().await {
        if let WatchEvent::Added(node) | WatchEvent::Modified(node) = event?
            && is_ready(&node)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Parts<'_> {
    /// Runs a part that the cluster cannot be without; its error ends the process.
    fn vital(&self, name: &'static str, part: impl Future<Output = Result<()>> + Send + 'static) {
        let (failed, shutdown) = (self.failed.clone(), self.shutdown.clone());
        self.tasks.spawn(name, async move {
            let ended = part.await.with_context(|| format!("the {name} has ended"));
            let error = ended.err().unwrap_or_else(|| anyhow!("the {name} has ended"));
            if !shutdown.is_triggered() {
                tracing::error!(part = name, error = format!("{error:#}"), "a part has ended");
                // The first failure is told; a later one finds the channel full.
                let _ = failed.try_send(error);
            }
        });
    }

    fn pki(&self) -> Result<Arc<pki::Pki>> {
        let names = pki::Names::new(node::name(), vec![node::address()]);
        let pki = pki::ensure(&self.layout.pki(), &names, &self.clock)
            .context("cannot prepare the certificates")?;
        Ok(Arc::new(pki))
    }

    async fn store(&self) -> Result<Arc<dyn store::Engine>> {
        let folder = self.layout.store();
        let open = tokio::task::spawn_blocking(move || {
            store::embedded::open(&folder, store::embedded::Options::default())
        });
        open.await.context("opening the store ended early")?.context("cannot open the store")
    }

    async fn server(
        &self,
        pki: &Arc<pki::Pki>,
        engine: &Arc<dyn store::Engine>,
    ) -> Result<apiserver::Handle> {
        let port = self.options.api_port;
        let config = apiserver::Config {
            listen: Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            advertise_address: node::address(),
            ..apiserver::Config::local(pki.clone())
        };
        let (clock, random, shutdown) = (self.clock.clone(), self.random.clone(), self.shutdown.clone());
        let started = apiserver::Server::start(config, engine.clone(), clock, random, shutdown).await;
        started.map_err(|error| match error {
            apiserver::StartError::Listen { source, .. }
                if source.kind() == std::io::ErrorKind::AddrInUse =>
            {
                anyhow!("port {port} is taken by another program: choose one with --api-port")
            }
            error => anyhow::Error::from(error).context("cannot start the API server"),
        })
    }

    fn kubeconfig(&self, pki: &pki::Pki) -> Result<()> {
        let server = format!("https://127.0.0.1:{}", self.options.api_port);
        let kubeconfig = pki::Kubeconfig {
            server: &server,
            ca: pki.ca.certificate(),
            cluster: "dromon",
            user: "kubernetes-admin",
            credential: &pki.admin,
        };
        kubeconfig.write(&self.layout.kubeconfig()).context("cannot write the kubeconfig")
    }

    fn controllers(&self, server: &apiserver::Handle, pki: &pki::Pki) {
        let for_each = server.clone();
        let config = controllers::Config {
            client: server.client(UserInfo::component("system:kube-controller-manager")),
            client_for: Arc::new(move |name: &str| {
                for_each.client(UserInfo::service_account("kube-system", name, ""))
            }),
            root_ca: pki.ca.certificate().to_owned(),
            signer: Some(pki.ca.clone()),
            // A range too small to share is the node's as it is.
            cluster_ranges: controllers::ClusterRanges::parse(&self.options.pod_cidr).ok(),
            local_volumes: self.layout.volumes(),
            identity: None,
            clock: self.clock.clone(),
        };
        let shutdown = self.shutdown.clone();
        self.vital("controller manager", async move {
            controllers::Manager::new(config).run(shutdown).await.map_err(Into::into)
        });
    }

    fn scheduler(&self, server: &apiserver::Handle) {
        let client = server.client(UserInfo::component("system:kube-scheduler"));
        let config = scheduler::Config::new(client, self.clock.clone(), self.random.clone());
        let shutdown = self.shutdown.clone();
        self.vital("scheduler", async move {
            scheduler::Scheduler::new(config).run(shutdown).await.map_err(Into::into)
        });
    }

    fn proxy(&self, server: &apiserver::Handle) -> Result<()> {
        let config = proxy::Config {
            node_name: node::name(),
            client: server.client(UserInfo::component("system:kube-proxy")),
            clock: self.clock.clone(),
            suffix: self.layout.suffix(),
            pod_ranges: vec![self.options.pod_cidr.parse().context("cannot use --pod-cidr")?],
        };
        let shutdown = self.shutdown.clone();
        self.vital("proxy", async move { proxy::Proxy::new(config).run(shutdown).await.map_err(Into::into) });
        Ok(())
    }

    async fn runtime(&self) -> Result<()> {
        let config = runtime_config(self.layout, &self.options.pod_cidr, &self.clock, &self.random).await?;
        self.demo_image()?;
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let shutdown = self.shutdown.clone();
        self.vital("container runtime", async move { Ok(runtime::serve(config, shutdown, ready).await?) });
        // A runtime that does not come up has told its error already.
        let _ = is_ready.await;
        Ok(())
    }

    /// Imports the demo image beside the start; without it the cluster only lacks an example.
    fn demo_image(&self) -> Result<()> {
        let images = runtime::images::Store::open(&self.layout.images(), self.clock.clone());
        let images = images.context("cannot open the image store")?;
        let stamp = self.layout.runtime().join("demo.stamp");
        self.tasks.spawn("demo image", async move {
            let imported = tokio::task::spawn_blocking(move || import_demo_image(&images, &stamp)).await;
            if let Ok(Err(error)) = imported {
                tracing::warn!(error = format!("{error:#}"), "cannot make the demo image");
            }
        });
        Ok(())
    }

    /// Answers names on this node; tells where, if it can.
    async fn dns(&self, server: &apiserver::Handle) -> Result<Option<IpAddr>> {
        dns::ensure(server.client(UserInfo::apiserver()), dns_server::SERVICE)
            .await
            .context("cannot make the Service of the cluster's DNS")?;
        let Some(bound) = dns_server::bind(self.layout, &self.options.pod_cidr).await else {
            return Ok(None);
        };
        let address = bound.address();
        let client = server.client(UserInfo::node(&node::name()));
        let (clock, random) = (self.clock.clone(), self.random.clone());
        let (part, shutdown) = (dns_server::server(client, clock, random), self.shutdown.clone());
        self.vital("DNS server", async move {
            part.run(bound, shutdown).await;
            Ok(())
        });
        Ok(Some(address))
    }

    fn kubelet(&self, server: &apiserver::Handle, names: Option<IpAddr>) {
        let (layout, name) = (self.layout, node::name());
        let pki = layout.pki();
        let tls = kubelet::Tls {
            certificate: pki.join("kubelet.crt"),
            key: pki.join("kubelet.key"),
            client_ca: pki.join("ca.crt"),
        };
        let client = server.client(UserInfo::node(&name));
        let mut config = kubelet::Config::new(
            name,
            layout.kubelet(),
            layout.logs(),
            layout.cri_socket(),
            client,
            tls,
            vec![node::address()],
        );
        config.bind = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.options.kubelet_port);
        config.manifests = Some(layout.manifests());
        config.pod_cidr = Some(self.options.pod_cidr.clone());
        config.cluster_dns = names.into_iter().collect();
        // The disk of a machine that people work on is rarely emptier than upstream's tenth.
        config.eviction.disk_available = kubelet::Least::Percent(5);
        config.cgroup_root = layout.cgroup();
        config.clock = self.clock.clone();
        config.random = self.random.clone();
        let shutdown = self.shutdown.clone();
        self.vital("kubelet", async move {
            kubelet::Kubelet::new(config).run(shutdown).await.map_err(Into::into)
        });
    }
}

/// Makes the demo image from this program, if it is another program than last time.
fn import_demo_image(images: &runtime::images::Store, stamp: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let program = std::env::current_exe().context("cannot find this program")?;
    let found = fs::metadata(&program).context("cannot look at this program")?;
    let current = format!("{} {} {}", found.ino(), found.size(), found.mtime());
    let known = images.index().context("cannot read the images")?.find(runtime::images::DEMO_IMAGE).is_some();
    // No stamp yet is a first start.
    if known && fs::read_to_string(stamp).is_ok_and(|last| last == current) {
        return Ok(());
    }
    let archive = runtime::images::demo_archive(&program).context("cannot read this program")?;
    images.import(&mut &archive[..], |_| {}).context("cannot import the demo image")?;
    fs::write(stamp, current).context("cannot note the demo image")
}
