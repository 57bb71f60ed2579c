//! Logs of, and commands in, containers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cri::v1 as pb;
use futures::StreamExt;
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use stdx::error_chain;
use tokio::sync::mpsc;

use super::query::pairs;
use super::{Body, BoxError, Refusal, answer, relay};
use crate::context::Context;
use crate::logs::options::Options;
use crate::logs::{options, read};
use crate::pod_manager::Workers;
use crate::pods;
use crate::runtime::{ContainerRecord, CriError, PodRuntime, Run};

/// Pieces of a log that wait for a slow reader.
const WAITING: usize = 16;
/// A command of `/run` has so long.
const RUN: Duration = Duration::from_secs(120);

pub(super) struct Containers<'a> {
    pub context: &'a Arc<Context>,
    pub workers: &'a Workers,
}

impl Containers<'_> {
    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Pod>, Refusal> {
        let found = self.workers.find(namespace, name);
        found.ok_or_else(|| Refusal::not_found(format!("pod \"{name}_{namespace}\" does not exist")))
    }

    async fn running(&self, namespace: &str, pod: &str, container: &str) -> Result<String, Refusal> {
        let pod = self.pod(namespace, pod)?;
        let runtime = self.context.cri.pod(pods::uid(&pod)).await.map_err(|error| refused(&error))?;
        let record = runtime.latest(container).filter(|record| record.run == Run::Running);
        let missing = || Refusal::not_found(format!("container not found ({container:?})"));
        record.map(|record| record.id.clone()).ok_or_else(missing)
    }

    pub async fn logs(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
        query: &str,
    ) -> Result<Response<Body>, Refusal> {
        let now = self.context.config.clock.now();
        let options = options::parse(query, now).map_err(|error| Refusal::bad_request(error.to_string()))?;
        let pod = self.pod(namespace, name)?;
        let runtime = self.context.cri.pod(pods::uid(&pod)).await.map_err(|error| refused(&error))?;
        let record = pick(&pod, &runtime, container, &options)?.clone();
        if !Path::new(&record.log_path).exists() {
            let message = format!("failed to open log file {:?}: no such file or directory", record.log_path);
            return Err(Refusal::internal(message));
        }
        Ok(self.stream(&pod, record, options))
    }

    fn stream(&self, pod: &Pod, record: ContainerRecord, options: Options) -> Response<Body> {
        let (sink, pieces) = mpsc::channel::<Bytes>(WAITING);
        let state = self.workers.handle(pods::uid(pod)).map(|handle| handle.runtime);
        let shutdown = self.context.shutdown.clone();
        self.context.tasks.spawn("container log", async move {
            let id = record.id.clone();
            let ended = async move {
                let running =
                    |state: &PodRuntime| state.containers.iter().any(|c| c.id == id && c.run == Run::Running);
                if let Some(mut state) = state {
                    // The pod's worker is gone: so are its containers.
                    let _ = state.wait_for(|state| !running(state)).await;
                }
            };
            let reading = read::send(Path::new(&record.log_path), &options, &sink, ended);
            tokio::select! {
                () = shutdown.wait() => {}
                result = reading => if let Err(error) = result {
                    tracing::warn!(container = record.id, error = error_chain(&error), "log not read");
                }
            }
        });
        let frames = tokio_stream::wrappers::ReceiverStream::new(pieces)
            .map(|bytes| Ok::<_, BoxError>(Frame::data(bytes)));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
        response
    }

    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let id = self.running(namespace, pod, container).await?;
        let wanted = Streams::parse(request.uri().query().unwrap_or_default());
        let exec = pb::ExecRequest {
            container_id: id,
            cmd: wanted.command,
            tty: wanted.tty,
            stdin: wanted.stdin,
            stdout: wanted.stdout,
            stderr: wanted.stderr && !wanted.tty,
            ..Default::default()
        };
        let url = self.context.cri.exec_url(exec).await.map_err(|error| refused(&error))?;
        relay::relay(self.context, &url, request).await
    }

    pub async fn attach(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let id = self.running(namespace, pod, container).await?;
        let wanted = Streams::parse(request.uri().query().unwrap_or_default());
        let attach = pb::AttachRequest {
            container_id: id,
            tty: wanted.tty,
            stdin: wanted.stdin,
            stdout: wanted.stdout,
            stderr: wanted.stderr && !wanted.tty,
            ..Default::default()
        };
        let url = self.context.cri.attach_url(attach).await.map_err(|error| refused(&error))?;
        relay::relay(self.context, &url, request).await
    }

    pub async fn port_forward(
        &self,
        namespace: &str,
        pod: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let pod = self.pod(namespace, pod)?;
        let runtime = self.context.cri.pod(pods::uid(&pod)).await.map_err(|error| refused(&error))?;
        let sandbox = runtime.sandbox().filter(|s| s.ready);
        let sandbox = sandbox.ok_or_else(|| Refusal::internal("pod sandbox is not ready"))?;
        let ports = pairs(request.uri().query().unwrap_or_default())
            .into_iter()
            .filter(|(key, _)| matches!(key.as_str(), "port" | "ports"))
            .filter_map(|(_, value)| value.parse().ok());
        let forward = pb::PortForwardRequest { pod_sandbox_id: sandbox.id.clone(), port: ports.collect() };
        let url = self.context.cri.port_forward_url(forward).await.map_err(|error| refused(&error))?;
        relay::relay(self.context, &url, request).await
    }

    pub async fn run(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &str,
    ) -> Result<Response<Body>, Refusal> {
        let id = self.running(namespace, pod, container).await?;
        let command = pairs(query).into_iter().filter(|(key, _)| key == "cmd");
        let command =
            command.flat_map(|(_, value)| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let done = self.context.cri.exec_sync(&id, command.collect(), RUN).await;
        let done = done.map_err(|error| refused(&error))?;
        let mut output = done.stdout;
        output.extend_from_slice(&done.stderr);
        Ok(answer(StatusCode::OK, "text/plain", output))
    }
}

/// Which container's log is meant; a container that never ran has none.
fn pick<'a>(
    pod: &Pod,
    runtime: &'a PodRuntime,
    container: &'a str,
    options: &Options,
) -> Result<&'a ContainerRecord, Refusal> {
    let name = pods::name(pod);
    if pods::find_container(pod, container).is_none() {
        return Err(Refusal::bad_request(format!(
            "container {container:?} in pod {name:?} is not available"
        )));
    }
    let mut ran = runtime.all(container).filter(|record| record.run != Run::Created);
    if options.previous {
        let waits =
            status_of(pod, container).is_some_and(|s| s.state.as_ref().is_some_and(|s| s.waiting.is_some()));
        // While the next one waits for its time, the newest dead one is the previous one.
        return ran.nth(usize::from(!waits)).ok_or_else(|| {
            Refusal::bad_request(format!(
                "previous terminated container {container:?} in pod {name:?} not found"
            ))
        });
    }
    ran.next().ok_or_else(|| {
        let why = why_waiting(pod, container);
        Refusal::bad_request(format!("container {container:?} in pod {name:?} is waiting to start: {why}"))
    })
}

fn why_waiting(pod: &Pod, container: &str) -> String {
    let waiting =
        status_of(pod, container).and_then(|s| s.state.as_ref()?.waiting.clone()).unwrap_or_default();
    match (waiting.reason.as_deref(), waiting.message) {
        (Some("ImagePullBackOff" | "ErrImagePull"), _) => "trying and failing to pull image".into(),
        (Some("ErrImageNeverPull"), _) => "image can't be pulled".into(),
        (Some(reason), _) => reason.to_owned(),
        (None, _) => "ContainerCreating".into(),
    }
}

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|s| s.name == container)
}

fn refused(error: &CriError) -> Refusal {
    Refusal::internal(error.said())
}

/// The streams that a client asks for; old and new names.
#[derive(Debug, Default, PartialEq)]
struct Streams {
    command: Vec<String>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

impl Streams {
    fn parse(query: &str) -> Self {
        let mut streams = Self::default();
        for (key, value) in pairs(query) {
            let on = matches!(value.as_str(), "1" | "true");
            match key.as_str() {
                "command" => streams.command.push(value),
                "input" | "stdin" => streams.stdin = on,
                "output" | "stdout" => streams.stdout = on,
                "error" | "stderr" => streams.stderr = on,
                "tty" => streams.tty = on,
                _ => {}
            }
        }
        streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_streams_of_both_kinds_of_clients() {
        let ours = Streams::parse("command=sh&command=-c&input=1&output=1&error=1&tty=1");
        assert_eq!(ours, Streams::parse("command=sh&command=-c&stdin=true&stdout=true&stderr=true&tty=true"));
        assert!(ours.tty && ours.stdin && ours.command == ["sh", "-c"]);
    }
}
