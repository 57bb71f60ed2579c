//! A container runtime that keeps books and runs nothing.

use std::path::Path;
use std::sync::Arc;

use cri::v1::image_service_server::{ImageService, ImageServiceServer};
use cri::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use cri::v1::*;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, Pending};
use parking_lot::Mutex;
use stdx::{Clock, Tasks};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// Clones share the books.
#[derive(Clone)]
pub(crate) struct FakeRuntime {
    books: Arc<Mutex<Books>>,
    clock: Clock,
}

#[derive(Default)]
struct Books {
    calls: Vec<String>,
    sandboxes: Vec<PodSandboxStatus>,
    containers: Vec<(String, ContainerStatus)>,
    count: usize,
}

impl FakeRuntime {
    pub fn serve(socket: &Path, clock: Clock, tasks: &Tasks) -> Self {
        let runtime = Self { books: Arc::default(), clock };
        let listener = UnixListener::bind(socket).expect("a fresh path");
        let server = tonic::transport::Server::builder()
            .add_service(RuntimeServiceServer::new(runtime.clone()))
            .add_service(ImageServiceServer::new(runtime.clone()))
            .serve_with_incoming(UnixListenerStream::new(listener));
        tasks.spawn("fake runtime", async move {
            server.await.expect("serves");
        });
        runtime
    }

    /// What was asked for, in order; readings are not noted.
    pub fn calls(&self) -> Vec<String> {
        self.books.lock().calls.clone()
    }

    /// The newest container of that name ends by itself.
    pub fn exit(&self, name: &str, code: i32) {
        let now = self.now();
        let mut books = self.books.lock();
        let mut newest_first = books.containers.iter_mut().rev().map(|(_, status)| status);
        let status = newest_first.find(|c| c.metadata.as_ref().is_some_and(|m| m.name == name));
        let status = status.expect("such a container");
        (status.state, status.exit_code, status.finished_at) =
            (ContainerState::ContainerExited as i32, code, now);
    }

    fn now(&self) -> i64 {
        i64::try_from(self.clock.now().as_nanosecond()).expect("in range")
    }

    fn note(&self, what: String) -> usize {
        let mut books = self.books.lock();
        books.calls.push(what);
        books.count += 1;
        books.count
    }

    fn container(&self, id: &str, change: impl FnOnce(&mut ContainerStatus)) -> Result<(), Status> {
        let mut books = self.books.lock();
        let found = books.containers.iter_mut().map(|(_, status)| status).find(|status| status.id == id);
        change(found.ok_or_else(|| Status::not_found("no such container"))?);
        Ok(())
    }

    fn name(&self, id: &str) -> String {
        let books = self.books.lock();
        let found = books.containers.iter().find(|(_, c)| c.id == id);
        found.and_then(|(_, c)| c.metadata.as_ref().map(|m| m.name.clone())).unwrap_or_default()
    }
}

/// A call that the kubelet does not make in these tests, in the shape that `async_trait` gives it: the attribute does
/// not see into macros.
macro_rules! refuse {
    ($name:ident($request:ty) -> $answer:ty) => {
        fn $name<'life, 'async_trait>(
            &'life self,
            _: Request<$request>,
        ) -> BoxFuture<'async_trait, Result<Response<$answer>, Status>>
        where
            'life: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($name))) })
        }
    };
}

macro_rules! unused {
    ($($name:ident($request:ty) -> $answer:ty;)*) => {
        $(refuse! { $name($request) -> $answer })*
    };
}

macro_rules! unused_streams {
    ($($name:ident($request:ty) -> $stream:ident, $answer:ty;)*) => {
        $(type $stream = Pending<Result<$answer, Status>>;
        refuse! { $name($request) -> Self::$stream })*
    };
}

/// An answer that says nothing.
fn done<T: Default>() -> Result<Response<T>, Status> {
    Ok(Response::new(T::default()))
}

#[tonic::async_trait]
impl RuntimeService for FakeRuntime {
    async fn run_pod_sandbox(
        &self,
        request: Request<RunPodSandboxRequest>,
    ) -> Result<Response<RunPodSandboxResponse>, Status> {
        let config = request.into_inner().config.unwrap_or_default();
        let number = self.note(format!("run sandbox in {}", cgroup_parent(&config)));
        let id = format!("s{number}");
        self.books.lock().sandboxes.push(PodSandboxStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: PodSandboxState::SandboxReady as i32,
            created_at: self.now() + number as i64,
            network: Some(PodSandboxNetworkStatus { ip: "10.0.0.5".into(), ..Default::default() }),
            labels: config.labels,
            annotations: config.annotations,
            ..Default::default()
        });
        Ok(Response::new(RunPodSandboxResponse { pod_sandbox_id: id }))
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<StopPodSandboxRequest>,
    ) -> Result<Response<StopPodSandboxResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.note(format!("stop sandbox {id}"));
        for sandbox in self.books.lock().sandboxes.iter_mut().filter(|s| s.id == id) {
            sandbox.state = PodSandboxState::SandboxNotready as i32;
        }
        done()
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<RemovePodSandboxRequest>,
    ) -> Result<Response<RemovePodSandboxResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        self.note(format!("remove sandbox {id}"));
        self.books.lock().sandboxes.retain(|s| s.id != id);
        done()
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<PodSandboxStatusRequest>,
    ) -> Result<Response<PodSandboxStatusResponse>, Status> {
        let id = request.into_inner().pod_sandbox_id;
        let status = self.books.lock().sandboxes.iter().find(|s| s.id == id).cloned();
        let status = status.ok_or_else(|| Status::not_found("no such sandbox"))?;
        Ok(Response::new(PodSandboxStatusResponse { status: Some(status), ..Default::default() }))
    }

    async fn list_pod_sandbox(
        &self,
        _: Request<ListPodSandboxRequest>,
    ) -> Result<Response<ListPodSandboxResponse>, Status> {
        let books = self.books.lock();
        let item = |s: &PodSandboxStatus| PodSandbox { id: s.id.clone(), ..Default::default() };
        Ok(Response::new(ListPodSandboxResponse { items: books.sandboxes.iter().map(item).collect() }))
    }

    async fn create_container(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Result<Response<CreateContainerResponse>, Status> {
        let request = request.into_inner();
        let config = request.config.unwrap_or_default();
        let name = config.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
        let number = self.note(format!("create {name}"));
        let id = format!("c{number}");
        let status = ContainerStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: ContainerState::ContainerCreated as i32,
            created_at: self.now() + number as i64,
            image: config.image,
            image_ref: "image@sha256:0".into(),
            labels: config.labels,
            annotations: config.annotations,
            mounts: config.mounts,
            log_path: config.log_path,
            resources: config.linux.map(|linux| ContainerResources { linux: linux.resources }),
            ..Default::default()
        };
        self.books.lock().containers.push((request.pod_sandbox_id, status));
        Ok(Response::new(CreateContainerResponse { container_id: id }))
    }

    async fn start_container(
        &self,
        request: Request<StartContainerRequest>,
    ) -> Result<Response<StartContainerResponse>, Status> {
        let id = request.into_inner().container_id;
        self.note(format!("start {}", self.name(&id)));
        let now = self.now();
        self.container(&id, |c| (c.state, c.started_at) = (ContainerState::ContainerRunning as i32, now))?;
        done()
    }

    async fn stop_container(
        &self,
        request: Request<StopContainerRequest>,
    ) -> Result<Response<StopContainerResponse>, Status> {
        let request = request.into_inner();
        let id = request.container_id;
        self.note(format!("stop {} within {}s", self.name(&id), request.timeout));
        let now = self.now();
        self.container(&id, |c| {
            (c.state, c.exit_code, c.finished_at) = (ContainerState::ContainerExited as i32, 143, now);
        })?;
        done()
    }

    async fn update_container_resources(
        &self,
        request: Request<UpdateContainerResourcesRequest>,
    ) -> Result<Response<UpdateContainerResourcesResponse>, Status> {
        let request = request.into_inner();
        let id = request.container_id;
        let linux = request.linux.unwrap_or_default();
        self.note(format!("update {} to quota {}", self.name(&id), linux.cpu_quota));
        self.container(&id, |c| {
            let kept = c.resources.get_or_insert_default().linux.get_or_insert_default();
            (kept.cpu_shares, kept.cpu_quota) = (linux.cpu_shares, linux.cpu_quota);
        })?;
        done()
    }

    async fn reopen_container_log(
        &self,
        request: Request<ReopenContainerLogRequest>,
    ) -> Result<Response<ReopenContainerLogResponse>, Status> {
        self.note(format!("reopen {}", self.name(&request.into_inner().container_id)));
        done()
    }

    async fn remove_container(
        &self,
        request: Request<RemoveContainerRequest>,
    ) -> Result<Response<RemoveContainerResponse>, Status> {
        let id = request.into_inner().container_id;
        self.note(format!("remove {}", self.name(&id)));
        self.books.lock().containers.retain(|(_, c)| c.id != id);
        done()
    }

    async fn list_containers(
        &self,
        _: Request<ListContainersRequest>,
    ) -> Result<Response<ListContainersResponse>, Status> {
        let books = self.books.lock();
        let item = |(sandbox, c): &(String, ContainerStatus)| Container {
            id: c.id.clone(),
            pod_sandbox_id: sandbox.clone(),
            ..Default::default()
        };
        Ok(Response::new(ListContainersResponse { containers: books.containers.iter().map(item).collect() }))
    }

    async fn container_status(
        &self,
        request: Request<ContainerStatusRequest>,
    ) -> Result<Response<ContainerStatusResponse>, Status> {
        let id = request.into_inner().container_id;
        let mut status = None;
        self.container(&id, |c| status = Some(c.clone()))?;
        Ok(Response::new(ContainerStatusResponse { status, ..Default::default() }))
    }

    type GetContainerEventsStream = BoxStream<'static, Result<ContainerEventResponse, Status>>;
    async fn get_container_events(
        &self,
        _: Request<GetEventsRequest>,
    ) -> Result<Response<Self::GetContainerEventsStream>, Status> {
        Ok(Response::new(Box::pin(futures::stream::pending())))
    }

    unused! {
        version(VersionRequest) -> VersionResponse;
        status(StatusRequest) -> StatusResponse;
        exec(ExecRequest) -> ExecResponse;
        exec_sync(ExecSyncRequest) -> ExecSyncResponse;
        attach(AttachRequest) -> AttachResponse;
        port_forward(PortForwardRequest) -> PortForwardResponse;
        container_stats(ContainerStatsRequest) -> ContainerStatsResponse;
        list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse;
        pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
        list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
        list_metric_descriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
        list_pod_sandbox_metrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
        checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse;
        runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse;
        update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse;
        update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse;
    }

    unused_streams! {
        stream_pod_sandboxes(StreamPodSandboxesRequest) -> StreamPodSandboxesStream, StreamPodSandboxesResponse;
        stream_containers(StreamContainersRequest) -> StreamContainersStream, StreamContainersResponse;
        stream_container_stats(StreamContainerStatsRequest) -> StreamContainerStatsStream, StreamContainerStatsResponse;
        stream_pod_sandbox_stats(StreamPodSandboxStatsRequest)
            -> StreamPodSandboxStatsStream, StreamPodSandboxStatsResponse;
        stream_pod_sandbox_metrics(StreamPodSandboxMetricsRequest)
            -> StreamPodSandboxMetricsStream, StreamPodSandboxMetricsResponse;
    }
}

fn cgroup_parent(config: &PodSandboxConfig) -> String {
    config.linux.as_ref().map(|l| l.cgroup_parent.clone()).unwrap_or_default()
}

#[tonic::async_trait]
impl ImageService for FakeRuntime {
    /// Only `there:1` is there.
    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Result<Response<ImageStatusResponse>, Status> {
        let name = request.into_inner().image.unwrap_or_default().image;
        let image = Image { id: "sha256:1".into(), ..Default::default() };
        let image = (name == "there:1").then_some(image);
        Ok(Response::new(ImageStatusResponse { image, ..Default::default() }))
    }

    async fn pull_image(&self, _: Request<PullImageRequest>) -> Result<Response<PullImageResponse>, Status> {
        Err(Status::not_found("no such image"))
    }

    unused! {
        list_images(ListImagesRequest) -> ListImagesResponse;
        remove_image(RemoveImageRequest) -> RemoveImageResponse;
        image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse;
    }

    unused_streams! {
        stream_images(StreamImagesRequest) -> StreamImagesStream, StreamImagesResponse;
    }
}
