//! The node's status: computed from facts, written when it changed, and every five minutes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cri::v1 as pb;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use stdx::{Backoff, error_chain};
use tokio::sync::watch;

use super::{facts, register};
use crate::context::Context;
use crate::eviction::Pressure;
use crate::pod::container_status::whole_seconds;
use crate::quantity;
use crate::runtime::CriError;

/// Unchanged statuses are written this often.
const REPORT: Duration = Duration::from_secs(300);
/// Images told at most.
const IMAGES: usize = 50;

/// Registers the node as soon as the runtime answers, then keeps its status.
pub(crate) async fn run(context: Arc<Context>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(7));
    let pressure = context.pressure.subscribe();
    let mut keeper = Keeper { context, pressure, written: None, at: Duration::ZERO };
    loop {
        match keeper.once().await {
            Ok(Readiness::Ready) => {
                backoff.reset();
                keeper.wait().await;
            }
            Ok(Readiness::NotReady) => keeper.context.config.clock.sleep(backoff.step()).await,
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "node status not written");
                keeper.context.config.clock.sleep(backoff.step()).await;
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("cannot register the node")]
    Register { source: Box<kube::Error> },
    #[error("cannot write the node's status")]
    Write { source: Box<kube::Error> },
}

enum Readiness {
    Ready,
    NotReady,
}

struct Keeper {
    context: Arc<Context>,
    pressure: watch::Receiver<Pressure>,
    written: Option<NodeStatus>,
    at: Duration,
}

impl Keeper {
    async fn once(&mut self) -> Result<Readiness, StatusError> {
        let runtime = Runtime::ask(&self.context).await;
        let ready = runtime.why_not_ready().is_none();
        let old = self.written.clone().unwrap_or_default();
        let now = self.context.config.clock.now();
        let status = status(&self.context, &runtime, &old, now);
        let passed = self.context.config.clock.monotonic() - self.at;
        let missing = self.written.is_none() || self.node_is_gone();
        if missing {
            self.register(&status).await?;
        } else if !same(&old, &status) || passed >= REPORT {
            self.write(&status).await?;
        }
        Ok(if ready { Readiness::Ready } else { Readiness::NotReady })
    }

    fn node_is_gone(&self) -> bool {
        self.context.node.is_synced() && self.context.node.list().is_empty()
    }

    async fn register(&mut self, status: &NodeStatus) -> Result<(), StatusError> {
        let node = register::register(&self.context.config, status.clone())
            .await
            .map_err(|source| StatusError::Register { source: Box::new(source) })?;
        self.written = node.status;
        self.write(status).await
    }

    async fn write(&mut self, status: &NodeStatus) -> Result<(), StatusError> {
        let api: Api<Node> = Api::all(self.context.config.client.clone());
        let body = json!({"status": status});
        let name = &self.context.config.node_name;
        let written = api
            .patch_status(name, &PatchParams::default(), &Patch::Strategic(body))
            .await
            .map_err(|source| StatusError::Write { source: Box::new(source) });
        if written.is_err() {
            // Perhaps it was deleted: the next round registers it again.
            self.written = None;
        }
        written?;
        self.written = Some(status.clone());
        self.at = self.context.config.clock.monotonic();
        Ok(())
    }

    /// Until it is time to report, or something that the status tells changes.
    async fn wait(&mut self) {
        let mut changes = self.context.node.subscribe();
        let gone = async {
            while let Some(change) = changes.recv().await {
                if matches!(change, client::Change::Deleted(_)) {
                    return;
                }
            }
        };
        tokio::select! {
            () = self.context.config.clock.sleep(REPORT) => {}
            () = self.context.node_changed.notified() => {}
            // The sender lives as long as the context.
            _ = self.pressure.changed() => {}
            () = gone => {}
        }
    }
}

/// What the runtime said, or that it did not answer.
struct Runtime {
    version: Option<pb::VersionResponse>,
    conditions: Result<Vec<pb::RuntimeCondition>, CriError>,
    images: Vec<pb::Image>,
}

impl Runtime {
    async fn ask(context: &Context) -> Self {
        let conditions = context.cri.conditions().await;
        // Without an answer the conditions above say why; these two only decorate.
        let version = context.cri.version().await.ok();
        let images = context.cri.images().await.unwrap_or_default();
        if let Some(version) = &version {
            let name = version.runtime_name.clone();
            context.runtime_name.get_or_init(|| async { name }).await;
        }
        Self { version, conditions, images }
    }

    fn why_not_ready(&self) -> Option<String> {
        let conditions = match &self.conditions {
            Ok(conditions) => conditions,
            Err(error) => return Some(format!("container runtime is down: {}", error.said())),
        };
        let mut problems = Vec::new();
        for (kind, what) in [
            ("RuntimeReady", "container runtime not ready"),
            ("NetworkReady", "container runtime network not ready"),
        ] {
            match conditions.iter().find(|c| c.r#type == kind) {
                Some(condition) if condition.status => {}
                Some(c) => {
                    problems.push(format!("{what}: {kind}=false reason:{} message:{}", c.reason, c.message))
                }
                None => problems.push(format!("{what}: {kind} is missing")),
            }
        }
        (!problems.is_empty()).then(|| format!("[{}]", problems.join(", ")))
    }

    fn name_and_version(&self) -> String {
        self.version
            .as_ref()
            .map_or_else(|| "Unknown".into(), |v| format!("{}://{}", v.runtime_name, v.runtime_version))
    }
}

fn status(context: &Context, runtime: &Runtime, old: &NodeStatus, now: Timestamp) -> NodeStatus {
    let config = &context.config;
    NodeStatus {
        addresses: Some(addresses(context)),
        allocatable: Some(resources(
            context,
            context.capacity.allocatable_cpu_milli(config),
            context.capacity.allocatable_memory(config),
            storage_left(context),
        )),
        capacity: Some(resources(
            context,
            context.capacity.cpus * 1000,
            context.capacity.memory_bytes,
            quantity::kibibytes(context.capacity.storage_bytes),
        )),
        conditions: Some(conditions(context, runtime, old, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(config.bind.port()) }),
        }),
        images: Some(images(&runtime.images)),
        node_info: Some(facts::system_info(&runtime.name_and_version())),
        runtime_handlers: Some(vec![NodeRuntimeHandler {
            name: Some(String::new()),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(false),
                user_namespaces: Some(false),
            }),
        }]),
        ..NodeStatus::default()
    }
}

fn addresses(context: &Context) -> Vec<NodeAddress> {
    let internal =
        context.host_ips().into_iter().map(|address| NodeAddress { address, type_: "InternalIP".into() });
    let name = NodeAddress { address: context.config.node_name.clone(), type_: "Hostname".into() };
    internal.chain([name]).collect()
}

fn resources(context: &Context, cpu: u64, memory: u64, storage: Quantity) -> BTreeMap<String, Quantity> {
    let mut map = BTreeMap::from([
        ("cpu".to_owned(), quantity::cpu(cpu)),
        ("memory".to_owned(), quantity::kibibytes(memory)),
        ("ephemeral-storage".to_owned(), storage),
        ("pods".to_owned(), Quantity(context.config.max_pods.to_string())),
    ]);
    for (size, bytes) in &context.capacity.huge_pages {
        let amount = if *bytes == 0 { Quantity("0".into()) } else { quantity::kibibytes(*bytes) };
        map.insert(format!("hugepages-{size}"), amount);
    }
    map
}

/// Nine tenths of the disk: below that pods are evicted. In bytes, as upstream writes it.
fn storage_left(context: &Context) -> Quantity {
    Quantity((context.capacity.storage_bytes / 10 * 9).to_string())
}

fn images(all: &[pb::Image]) -> Vec<ContainerImage> {
    let mut images: Vec<&pb::Image> = all.iter().collect();
    images.sort_by_key(|image| (std::cmp::Reverse(image.size), image.id.clone()));
    let told = images.into_iter().take(IMAGES).map(|image| ContainerImage {
        names: Some(image.repo_digests.iter().chain(&image.repo_tags).cloned().collect()),
        size_bytes: i64::try_from(image.size).ok(),
    });
    told.collect()
}

/// One condition before its times.
struct Said {
    kind: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
}

fn conditions(context: &Context, runtime: &Runtime, old: &NodeStatus, now: Timestamp) -> Vec<NodeCondition> {
    let pressured = *context.pressure.borrow();
    let pressure = |kind, under: bool, bad, good, yes: &str, no: &str| Said {
        kind,
        status: under,
        reason: if under { bad } else { good },
        message: if under { yes.to_owned() } else { no.to_owned() },
    };
    let ready = match runtime.why_not_ready() {
        None => Said {
            kind: "Ready",
            status: true,
            reason: "KubeletReady",
            message: "kubelet is posting ready status".into(),
        },
        Some(why) => Said { kind: "Ready", status: false, reason: "KubeletNotReady", message: why },
    };
    let said = [
        pressure(
            "MemoryPressure",
            pressured.memory,
            "KubeletHasInsufficientMemory",
            "KubeletHasSufficientMemory",
            "kubelet has insufficient memory available",
            "kubelet has sufficient memory available",
        ),
        pressure(
            "DiskPressure",
            pressured.disk,
            "KubeletHasDiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has disk pressure",
            "kubelet has no disk pressure",
        ),
        pressure(
            "PIDPressure",
            pressured.pid,
            "KubeletHasInsufficientPID",
            "KubeletHasSufficientPID",
            "kubelet has insufficient PID available",
            "kubelet has sufficient PID available",
        ),
        ready,
    ];
    said.into_iter().map(|said| condition(said, old, now)).collect()
}

fn condition(said: Said, old: &NodeStatus, now: Timestamp) -> NodeCondition {
    let status = if said.status { "True" } else { "False" };
    let before =
        old.conditions.iter().flatten().find(|c| c.type_ == said.kind).filter(|c| c.status == status);
    NodeCondition {
        type_: said.kind.into(),
        status: status.into(),
        reason: Some(said.reason.into()),
        message: Some(said.message),
        last_heartbeat_time: Some(whole_seconds(now)),
        last_transition_time: before
            .and_then(|c| c.last_transition_time.clone())
            .or_else(|| Some(whole_seconds(now))),
    }
}

/// Equal but for heartbeats.
fn same(old: &NodeStatus, new: &NodeStatus) -> bool {
    let plain = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    plain(old) == plain(new)
}
