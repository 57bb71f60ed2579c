//! The CRI over its Unix socket, and its answers in the kubelet's words.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use cri::v1 as pb;
use futures::future::try_join_all;
use hyper_util::rt::TokioIo;
use pb::image_service_client::ImageServiceClient;
use pb::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::labels;
use super::state::{ContainerRecord, LinuxUser, PodRuntime, Run, Sandbox, TerminationFile};

/// A call that the runtime did not carry out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CriError {
    #[error("the container runtime refused {call}")]
    Refused { call: &'static str, source: Box<tonic::Status> },
}

impl CriError {
    /// The runtime's own words, for events and statuses.
    pub fn said(&self) -> String {
        match self {
            Self::Refused { source, .. } => {
                format!("rpc error: code = {} desc = {}", code_name(source.code()), source.message())
            }
        }
    }

    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.code() == tonic::Code::DeadlineExceeded)
    }

    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.code() == tonic::Code::NotFound)
    }
}

/// A gRPC code as Go prints it.
fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
        Code::Unknown => "Unknown",
    }
}

/// One connection, shared by all clones.
#[derive(Clone, Debug)]
pub(crate) struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

macro_rules! call {
    ($client:expr, $method:ident, $request:expr) => {
        $client
            .clone()
            .$method($request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(|status| CriError::Refused { call: stringify!($method), source: Box::new(status) })
    };
}

impl Cri {
    /// Connects on first use, and again whenever the runtime came back.
    pub fn new(socket: PathBuf) -> Self {
        // The address is never looked up: the connector below ignores it.
        let endpoint = Endpoint::from_static("http://cri.invalid");
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }));
        const LARGEST: usize = 16 << 20;
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST),
            images: ImageServiceClient::new(channel).max_decoding_message_size(LARGEST),
        }
    }

    pub async fn version(&self) -> Result<pb::VersionResponse, CriError> {
        call!(self.runtime, version, pb::VersionRequest { version: "v1".into() })
    }

    pub async fn conditions(&self) -> Result<Vec<pb::RuntimeCondition>, CriError> {
        let answer = call!(self.runtime, status, pb::StatusRequest { verbose: false })?;
        Ok(answer.status.map(|s| s.conditions).unwrap_or_default())
    }

    /// Whether a handler says that it can. One that does not answer cannot be relied on.
    pub async fn has_user_namespaces(&self, handler: &str) -> bool {
        let Ok(answer) = call!(self.runtime, status, pb::StatusRequest { verbose: false }) else {
            return false;
        };
        let found = answer.runtime_handlers.into_iter().find(|known| known.name == handler);
        found.and_then(|known| known.features).is_some_and(|features| features.user_namespaces)
    }

    pub async fn set_pod_cidr(&self, cidr: &str) -> Result<(), CriError> {
        let config = pb::RuntimeConfig { network_config: Some(pb::NetworkConfig { pod_cidr: cidr.into() }) };
        call!(
            self.runtime,
            update_runtime_config,
            pb::UpdateRuntimeConfigRequest { runtime_config: Some(config) }
        )
        .map(drop)
    }

    pub async fn events(&self) -> Result<tonic::Streaming<pb::ContainerEventResponse>, CriError> {
        call!(self.runtime, get_container_events, pb::GetEventsRequest {})
    }

    /// All that the runtime has of one pod.
    pub async fn pod(&self, uid: &str) -> Result<PodRuntime, CriError> {
        let selector: HashMap<String, String> = HashMap::from([(labels::POD_UID.into(), uid.into())]);
        let filter = pb::PodSandboxFilter {
            label_selector: selector.clone().into_iter().collect(),
            ..Default::default()
        };
        let sandboxes = async {
            let list =
                call!(self.runtime, list_pod_sandbox, pb::ListPodSandboxRequest { filter: Some(filter) })?;
            try_join_all(list.items.into_iter().map(|item| self.sandbox(item.id))).await
        };
        let filter =
            pb::ContainerFilter { label_selector: selector.into_iter().collect(), ..Default::default() };
        let containers = async {
            let list =
                call!(self.runtime, list_containers, pb::ListContainersRequest { filter: Some(filter) })?;
            try_join_all(list.containers.into_iter().map(|item| self.container(item))).await
        };
        let (sandboxes, containers) = tokio::try_join!(sandboxes, containers)?;
        let mut pod = PodRuntime {
            sandboxes: sandboxes.into_iter().flatten().collect(),
            containers: containers.into_iter().flatten().collect(),
        };
        pod.sort();
        Ok(pod)
    }

    /// `None` if it went away meanwhile.
    async fn sandbox(&self, id: String) -> Result<Option<Sandbox>, CriError> {
        let request = pb::PodSandboxStatusRequest { pod_sandbox_id: id, verbose: false };
        match call!(self.runtime, pod_sandbox_status, request) {
            Ok(answer) => Ok(answer.status.map(sandbox)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn container(&self, item: pb::Container) -> Result<Option<ContainerRecord>, CriError> {
        let request = pb::ContainerStatusRequest { container_id: item.id, verbose: false };
        match call!(self.runtime, container_status, request) {
            Ok(answer) => Ok(answer.status.map(|status| record(status, item.pod_sandbox_id))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every sandbox with its labels and metadata.
    pub async fn sandboxes(&self) -> Result<Vec<pb::PodSandbox>, CriError> {
        Ok(call!(self.runtime, list_pod_sandbox, pb::ListPodSandboxRequest { filter: None })?.items)
    }

    pub async fn containers(&self) -> Result<Vec<pb::Container>, CriError> {
        Ok(call!(self.runtime, list_containers, pb::ListContainersRequest { filter: None })?.containers)
    }

    pub async fn run_sandbox(
        &self,
        config: pb::PodSandboxConfig,
        runtime_handler: String,
    ) -> Result<String, CriError> {
        let request = pb::RunPodSandboxRequest { config: Some(config), runtime_handler };
        Ok(call!(self.runtime, run_pod_sandbox, request)?.pod_sandbox_id)
    }

    pub async fn stop_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = pb::StopPodSandboxRequest { pod_sandbox_id: id.into() };
        gone_is_fine(call!(self.runtime, stop_pod_sandbox, request).map(drop))
    }

    pub async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = pb::RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        gone_is_fine(call!(self.runtime, remove_pod_sandbox, request).map(drop))
    }

    pub async fn create(
        &self,
        sandbox: &str,
        config: pb::ContainerConfig,
        sandbox_config: pb::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let request = pb::CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        Ok(call!(self.runtime, create_container, request)?.container_id)
    }

    pub async fn start(&self, id: &str) -> Result<(), CriError> {
        call!(self.runtime, start_container, pb::StartContainerRequest { container_id: id.into() }).map(drop)
    }

    pub async fn stop(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = pb::StopContainerRequest { container_id: id.into(), timeout };
        gone_is_fine(call!(self.runtime, stop_container, request).map(drop))
    }

    pub async fn remove(&self, id: &str) -> Result<(), CriError> {
        let request = pb::RemoveContainerRequest { container_id: id.into() };
        gone_is_fine(call!(self.runtime, remove_container, request).map(drop))
    }

    pub async fn update(&self, id: &str, linux: pb::LinuxContainerResources) -> Result<(), CriError> {
        let request = pb::UpdateContainerResourcesRequest {
            container_id: id.into(),
            linux: Some(linux),
            ..Default::default()
        };
        call!(self.runtime, update_container_resources, request).map(drop)
    }

    pub async fn reopen_log(&self, id: &str) -> Result<(), CriError> {
        let request = pb::ReopenContainerLogRequest { container_id: id.into() };
        call!(self.runtime, reopen_container_log, request).map(drop)
    }

    /// Runs a command and waits for it.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<pb::ExecSyncResponse, CriError> {
        let timeout = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let request = pb::ExecSyncRequest { container_id: id.into(), cmd: command, timeout };
        call!(self.runtime, exec_sync, request)
    }

    pub async fn exec_url(&self, request: pb::ExecRequest) -> Result<String, CriError> {
        Ok(call!(self.runtime, exec, request)?.url)
    }

    pub async fn attach_url(&self, request: pb::AttachRequest) -> Result<String, CriError> {
        Ok(call!(self.runtime, attach, request)?.url)
    }

    pub async fn port_forward_url(&self, request: pb::PortForwardRequest) -> Result<String, CriError> {
        Ok(call!(self.runtime, port_forward, request)?.url)
    }

    pub async fn container_stats(&self) -> Result<Vec<pb::ContainerStats>, CriError> {
        Ok(call!(self.runtime, list_container_stats, pb::ListContainerStatsRequest { filter: None })?.stats)
    }

    pub async fn images(&self) -> Result<Vec<pb::Image>, CriError> {
        Ok(call!(self.images, list_images, pb::ListImagesRequest { filter: None })?.images)
    }

    pub async fn image(&self, name: &str) -> Result<Option<pb::Image>, CriError> {
        let spec = pb::ImageSpec { image: name.into(), ..Default::default() };
        let request = pb::ImageStatusRequest { image: Some(spec), verbose: false };
        Ok(call!(self.images, image_status, request)?.image)
    }

    pub async fn pull(
        &self,
        name: &str,
        auth: Option<pb::AuthConfig>,
        sandbox: pb::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let spec = pb::ImageSpec { image: name.into(), ..Default::default() };
        let request = pb::PullImageRequest { image: Some(spec), auth, sandbox_config: Some(sandbox) };
        Ok(call!(self.images, pull_image, request)?.image_ref)
    }

    pub async fn remove_image(&self, id: &str) -> Result<(), CriError> {
        let spec = pb::ImageSpec { image: id.into(), ..Default::default() };
        call!(self.images, remove_image, pb::RemoveImageRequest { image: Some(spec) }).map(drop)
    }
}

/// Stopping or removing what is not there any more has succeeded.
fn gone_is_fine(result: Result<(), CriError>) -> Result<(), CriError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

fn sandbox(status: pb::PodSandboxStatus) -> Sandbox {
    let network = status.network.unwrap_or_default();
    let first = Some(network.ip).filter(|ip| !ip.is_empty());
    Sandbox {
        ready: status.state == pb::PodSandboxState::SandboxReady as i32,
        attempt: status.metadata.map(|m| m.attempt).unwrap_or_default(),
        created: status.created_at,
        addresses: first.into_iter().chain(network.additional_ips.into_iter().map(|ip| ip.ip)).collect(),
        id: status.id,
    }
}

fn record(status: pb::ContainerStatus, sandbox: String) -> ContainerRecord {
    let annotations: BTreeMap<String, String> = status.annotations.into_iter().collect();
    let metadata = status.metadata.unwrap_or_default();
    let restarts = annotations.get(labels::RESTART_COUNT).and_then(|count| count.parse().ok());
    ContainerRecord {
        run: run(status.state),
        sandbox,
        name: metadata.name,
        created: status.created_at,
        started: status.started_at,
        finished: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image: status.image.map(named).unwrap_or_default(),
        image_ref: status.image_ref,
        hash: annotations.get(labels::HASH).cloned().unwrap_or_default(),
        // A container without the annotation is somebody else's; its attempt says the same.
        restart_count: restarts.unwrap_or_else(|| i32::try_from(metadata.attempt).unwrap_or(i32::MAX)),
        log_path: status.log_path,
        user: status.user.and_then(|u| u.linux).map(|u| LinuxUser {
            uid: u.uid,
            gid: u.gid,
            groups: u.supplemental_groups,
        }),
        termination_message: labels::termination_path(&annotations).map(|path| TerminationFile {
            host_path: status
                .mounts
                .iter()
                .find(|m| m.container_path == path)
                .map(|m| m.host_path.clone())
                .unwrap_or_default(),
            fall_back_to_logs: labels::falls_back_to_logs(&annotations),
        }),
        resources: status.resources.and_then(|r| r.linux),
        mounts: status.mounts.into_iter().map(|m| (m.container_path, m.readonly)).collect(),
        id: status.id,
    }
}

/// The name that the pod used, if the runtime kept it; what it runs by may be a digest.
fn named(image: pb::ImageSpec) -> String {
    if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image }
}

fn run(state: i32) -> Run {
    match pb::ContainerState::try_from(state) {
        Ok(pb::ContainerState::ContainerCreated) => Run::Created,
        Ok(pb::ContainerState::ContainerRunning) => Run::Running,
        Ok(pb::ContainerState::ContainerExited) => Run::Exited,
        _ => Run::Unknown,
    }
}
