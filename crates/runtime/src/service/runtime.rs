//! RuntimeService: each call is one line to the [`Node`] and one message back.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cri::v1::runtime_service_server::RuntimeService;
use cri::v1::{self};
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::node::Node;
use crate::streaming::{Server, Wants};
use crate::view;

pub(crate) struct RuntimeServer {
    pub node: Node,
    pub streaming: Arc<Server>,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

fn answer<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}

/// A list as one message, and none when it is empty.
fn once<T: Send + 'static>(full: bool, message: T) -> Streamed<T> {
    Box::pin(futures::stream::iter(full.then_some(Ok(message))))
}

impl RuntimeServer {
    fn list_sandboxes(&self, filter: Option<&v1::PodSandboxFilter>) -> Vec<v1::PodSandbox> {
        let sandboxes = self.node.sandboxes();
        sandboxes.iter().filter(|s| view::sandbox_matches(s, filter)).map(view::sandbox).collect()
    }

    fn list_containers_by(&self, filter: Option<&v1::ContainerFilter>) -> Vec<v1::Container> {
        let containers = self.node.containers();
        containers.iter().filter(|c| view::container_matches(c, filter)).map(view::container).collect()
    }
}

#[tonic::async_trait]
impl RuntimeService for RuntimeServer {
    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        answer(v1::VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "dromon".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_api_version: "v1".to_owned(),
        })
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<v1::RunPodSandboxRequest>,
    ) -> Answer<v1::RunPodSandboxResponse> {
        let request = request.into_inner();
        let config = request.config.ok_or_else(|| Status::invalid_argument("sandbox config is missing"))?;
        let pod_sandbox_id = self.node.run_sandbox(config, request.runtime_handler).await?;
        answer(v1::RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<v1::StopPodSandboxRequest>,
    ) -> Answer<v1::StopPodSandboxResponse> {
        self.node.stop_sandbox(&request.get_ref().pod_sandbox_id).await?;
        answer(v1::StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<v1::RemovePodSandboxRequest>,
    ) -> Answer<v1::RemovePodSandboxResponse> {
        self.node.remove_sandbox(&request.get_ref().pod_sandbox_id).await?;
        answer(v1::RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<v1::PodSandboxStatusRequest>,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        let sandbox = self.node.sandbox(&request.get_ref().pod_sandbox_id)?;
        let mut info = HashMap::new();
        if request.get_ref().verbose {
            info.insert("info".to_owned(), serde_json::json!({"pid": sandbox.pause}).to_string());
        }
        answer(v1::PodSandboxStatusResponse {
            status: Some(view::sandbox_status(&sandbox)),
            info,
            containers_statuses: self
                .node
                .containers_of(&sandbox.id)
                .iter()
                .map(view::container_status)
                .collect(),
            timestamp: self.node.now(),
        })
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<v1::ListPodSandboxRequest>,
    ) -> Answer<v1::ListPodSandboxResponse> {
        answer(v1::ListPodSandboxResponse { items: self.list_sandboxes(request.get_ref().filter.as_ref()) })
    }

    type StreamPodSandboxesStream = Streamed<v1::StreamPodSandboxesResponse>;

    async fn stream_pod_sandboxes(
        &self,
        request: Request<v1::StreamPodSandboxesRequest>,
    ) -> Answer<Self::StreamPodSandboxesStream> {
        let pod_sandboxes = self.list_sandboxes(request.get_ref().filter.as_ref());
        answer(once(!pod_sandboxes.is_empty(), v1::StreamPodSandboxesResponse { pod_sandboxes }))
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Answer<v1::CreateContainerResponse> {
        let container_id = self.node.create_container(request.into_inner()).await?;
        answer(v1::CreateContainerResponse { container_id })
    }

    async fn start_container(
        &self,
        request: Request<v1::StartContainerRequest>,
    ) -> Answer<v1::StartContainerResponse> {
        self.node.start_container(&request.get_ref().container_id).await?;
        answer(v1::StartContainerResponse {})
    }

    async fn stop_container(
        &self,
        request: Request<v1::StopContainerRequest>,
    ) -> Answer<v1::StopContainerResponse> {
        let request = request.into_inner();
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        self.node.stop_container(&request.container_id, grace).await?;
        answer(v1::StopContainerResponse {})
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerResponse> {
        self.node.remove_container(&request.get_ref().container_id).await?;
        answer(v1::RemoveContainerResponse {})
    }

    async fn list_containers(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Answer<v1::ListContainersResponse> {
        answer(v1::ListContainersResponse {
            containers: self.list_containers_by(request.get_ref().filter.as_ref()),
        })
    }

    type StreamContainersStream = Streamed<v1::StreamContainersResponse>;

    async fn stream_containers(
        &self,
        request: Request<v1::StreamContainersRequest>,
    ) -> Answer<Self::StreamContainersStream> {
        let containers = self.list_containers_by(request.get_ref().filter.as_ref());
        answer(once(!containers.is_empty(), v1::StreamContainersResponse { containers }))
    }

    async fn container_status(
        &self,
        request: Request<v1::ContainerStatusRequest>,
    ) -> Answer<v1::ContainerStatusResponse> {
        let container = self.node.container(&request.get_ref().container_id)?;
        let mut info = HashMap::new();
        if request.get_ref().verbose {
            let pid = match container.state {
                crate::record::State::Running { pid, .. } => Some(pid),
                _ => None,
            };
            let about = serde_json::json!({"sandboxID": container.sandbox_id, "pid": pid});
            info.insert("info".to_owned(), about.to_string());
        }
        answer(v1::ContainerStatusResponse { status: Some(view::container_status(&container)), info })
    }

    async fn update_container_resources(
        &self,
        request: Request<v1::UpdateContainerResourcesRequest>,
    ) -> Answer<v1::UpdateContainerResourcesResponse> {
        let request = request.into_inner();
        self.node.update_resources(&request.container_id, &request.linux.unwrap_or_default())?;
        answer(v1::UpdateContainerResourcesResponse {})
    }

    async fn reopen_container_log(
        &self,
        request: Request<v1::ReopenContainerLogRequest>,
    ) -> Answer<v1::ReopenContainerLogResponse> {
        self.node.reopen_log(&request.get_ref().container_id).await?;
        answer(v1::ReopenContainerLogResponse {})
    }

    async fn exec_sync(&self, request: Request<v1::ExecSyncRequest>) -> Answer<v1::ExecSyncResponse> {
        answer(self.node.exec_sync(request.get_ref()).await?)
    }

    async fn exec(&self, request: Request<v1::ExecRequest>) -> Answer<v1::ExecResponse> {
        let request = request.into_inner();
        self.node.running(&request.container_id)?;
        let v1::ExecRequest { stdin, stdout, stderr, tty, .. } = request;
        let wants = Wants { stdin, stdout, stderr, tty };
        answer(v1::ExecResponse { url: self.streaming.exec(&request.container_id, &request.cmd, wants) })
    }

    async fn attach(&self, request: Request<v1::AttachRequest>) -> Answer<v1::AttachResponse> {
        let request = request.into_inner();
        self.node.running(&request.container_id)?;
        let v1::AttachRequest { stdin, stdout, stderr, tty, .. } = request;
        let wants = Wants { stdin, stdout, stderr, tty };
        answer(v1::AttachResponse { url: self.streaming.attach(&request.container_id, wants) })
    }

    async fn port_forward(
        &self,
        request: Request<v1::PortForwardRequest>,
    ) -> Answer<v1::PortForwardResponse> {
        let request = request.into_inner();
        let sandbox = self.node.sandbox(&request.pod_sandbox_id)?;
        if !sandbox.is_ready() {
            return Err(Error::State { kind: "sandbox", id: sandbox.id, wanted: "running" }.into());
        }
        let url = self.streaming.port_forward(&sandbox.id, &request.port);
        answer(v1::PortForwardResponse { url })
    }

    async fn container_stats(
        &self,
        request: Request<v1::ContainerStatsRequest>,
    ) -> Answer<v1::ContainerStatsResponse> {
        let container = self.node.container(&request.get_ref().container_id)?;
        answer(v1::ContainerStatsResponse { stats: Some(self.node.container_stats(&container).await) })
    }

    async fn list_container_stats(
        &self,
        request: Request<v1::ListContainerStatsRequest>,
    ) -> Answer<v1::ListContainerStatsResponse> {
        let stats = self.node.list_container_stats(request.get_ref().filter.as_ref()).await;
        answer(v1::ListContainerStatsResponse { stats })
    }

    type StreamContainerStatsStream = Streamed<v1::StreamContainerStatsResponse>;

    async fn stream_container_stats(
        &self,
        request: Request<v1::StreamContainerStatsRequest>,
    ) -> Answer<Self::StreamContainerStatsStream> {
        let container_stats = self.node.list_container_stats(request.get_ref().filter.as_ref()).await;
        answer(once(!container_stats.is_empty(), v1::StreamContainerStatsResponse { container_stats }))
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<v1::PodSandboxStatsRequest>,
    ) -> Answer<v1::PodSandboxStatsResponse> {
        let sandbox = self.node.sandbox(&request.get_ref().pod_sandbox_id)?;
        answer(v1::PodSandboxStatsResponse { stats: Some(self.node.sandbox_stats(&sandbox).await) })
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<v1::ListPodSandboxStatsRequest>,
    ) -> Answer<v1::ListPodSandboxStatsResponse> {
        let stats = self.node.list_sandbox_stats(request.get_ref().filter.as_ref()).await;
        answer(v1::ListPodSandboxStatsResponse { stats })
    }

    type StreamPodSandboxStatsStream = Streamed<v1::StreamPodSandboxStatsResponse>;

    async fn stream_pod_sandbox_stats(
        &self,
        request: Request<v1::StreamPodSandboxStatsRequest>,
    ) -> Answer<Self::StreamPodSandboxStatsStream> {
        let pod_sandbox_stats = self.node.list_sandbox_stats(request.get_ref().filter.as_ref()).await;
        answer(once(!pod_sandbox_stats.is_empty(), v1::StreamPodSandboxStatsResponse { pod_sandbox_stats }))
    }

    async fn update_runtime_config(
        &self,
        request: Request<v1::UpdateRuntimeConfigRequest>,
    ) -> Answer<v1::UpdateRuntimeConfigResponse> {
        let network = request.into_inner().runtime_config.and_then(|c| c.network_config).unwrap_or_default();
        if !network.pod_cidr.is_empty() {
            let set = self.node.config.network.set_pod_cidr(&network.pod_cidr);
            set.map_err(|error| Status::unknown(stdx::error_chain(&error)))?;
        }
        answer(v1::UpdateRuntimeConfigResponse {})
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        let network = self.node.config.network.not_ready();
        let reason = if network.is_some() { "NetworkPluginNotReady" } else { "" };
        let conditions = vec![
            v1::RuntimeCondition { r#type: "RuntimeReady".to_owned(), status: true, ..Default::default() },
            v1::RuntimeCondition {
                r#type: "NetworkReady".to_owned(),
                status: network.is_none(),
                reason: reason.to_owned(),
                message: network.unwrap_or_default(),
            },
        ];
        let features =
            v1::RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false };
        answer(v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions }),
            info: HashMap::new(),
            runtime_handlers: vec![
                v1::RuntimeHandler { name: String::new(), features: Some(features) },
                v1::RuntimeHandler { name: "dromon".to_owned(), features: Some(features) },
            ],
            features: Some(v1::RuntimeFeatures {
                supplemental_groups_policy: true,
                user_namespaces_host_network: false,
            }),
        })
    }

    async fn checkpoint_container(
        &self,
        _: Request<v1::CheckpointContainerRequest>,
    ) -> Answer<v1::CheckpointContainerResponse> {
        Err(Error::Unsupported("checkpoint containers").into())
    }

    type GetContainerEventsStream = Streamed<v1::ContainerEventResponse>;

    async fn get_container_events(
        &self,
        _: Request<v1::GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        let shutdown = self.node.shutdown.clone();
        let events = BroadcastStream::new(self.node.events()).map(|event| {
            // Who missed some has to list: the end of the stream says so.
            event.map_err(|_| Status::data_loss("events were missed"))
        });
        answer(Box::pin(events.take_until(async move { shutdown.wait().await })))
    }

    async fn list_metric_descriptors(
        &self,
        _: Request<v1::ListMetricDescriptorsRequest>,
    ) -> Answer<v1::ListMetricDescriptorsResponse> {
        answer(v1::ListMetricDescriptorsResponse::default())
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _: Request<v1::ListPodSandboxMetricsRequest>,
    ) -> Answer<v1::ListPodSandboxMetricsResponse> {
        answer(v1::ListPodSandboxMetricsResponse::default())
    }

    type StreamPodSandboxMetricsStream = Streamed<v1::StreamPodSandboxMetricsResponse>;

    async fn stream_pod_sandbox_metrics(
        &self,
        _: Request<v1::StreamPodSandboxMetricsRequest>,
    ) -> Answer<Self::StreamPodSandboxMetricsStream> {
        answer(once(false, v1::StreamPodSandboxMetricsResponse::default()))
    }

    async fn runtime_config(
        &self,
        _: Request<v1::RuntimeConfigRequest>,
    ) -> Answer<v1::RuntimeConfigResponse> {
        let cgroup_driver = v1::CgroupDriver::Cgroupfs as i32;
        answer(v1::RuntimeConfigResponse { linux: Some(v1::LinuxRuntimeConfiguration { cgroup_driver }) })
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: Request<v1::UpdatePodSandboxResourcesRequest>,
    ) -> Answer<v1::UpdatePodSandboxResourcesResponse> {
        let request = request.into_inner();
        self.node
            .update_sandbox_resources(&request.pod_sandbox_id, &request.resources.unwrap_or_default())?;
        answer(v1::UpdatePodSandboxResourcesResponse {})
    }
}
