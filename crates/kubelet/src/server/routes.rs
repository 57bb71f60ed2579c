//! Which path is answered by what.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::auth::{self, Identity};
use super::{Body, Refusal, answer, containers, resource_metrics, stats};
use crate::context::Context;
use crate::pod_manager::Workers;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers one request.
pub(crate) async fn serve(
    context: Arc<Context>,
    workers: Workers,
    peer: Option<Identity>,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.uri().path() == "/healthz" {
        return answer(StatusCode::OK, TEXT, "ok");
    }
    if let Err(refusal) = auth::check(&context, peer, &request).await {
        return refusal.answer();
    }
    route(&context, &workers, request).await.unwrap_or_else(Refusal::answer)
}

async fn route(
    context: &Arc<Context>,
    workers: &Workers,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path().to_owned();
    let parts: Vec<String> = path.split('/').skip(1).map(super::query::decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let server = containers::Containers { context, workers };
    match parts.as_slice() {
        ["pods"] => Ok(answer(StatusCode::OK, JSON, pod_list(workers.pods()))),
        ["runningpods", ..] => {
            let running = workers.pods().into_iter().filter(|pod| {
                workers.handle(crate::pods::uid(pod)).is_some_and(|h| h.runtime.borrow().is_running())
            });
            Ok(answer(StatusCode::OK, JSON, pod_list(running.collect())))
        }
        ["containerLogs", namespace, pod, container] if request.method() == Method::GET => {
            server.logs(namespace, pod, container, request.uri().query().unwrap_or_default()).await
        }
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
            server.exec(namespace, pod, container, request).await
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
            server.attach(namespace, pod, container, request).await
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
            server.port_forward(namespace, pod, request).await
        }
        ["run", namespace, pod, container] => {
            server.run(namespace, pod, container, request.uri().query().unwrap_or_default()).await
        }
        ["stats", "summary"] => Ok(answer(StatusCode::OK, JSON, stats::summary(context, workers).await?)),
        ["metrics"] => Ok(answer(StatusCode::OK, METRICS, stats::metrics(workers))),
        ["metrics", "resource"] => {
            Ok(answer(StatusCode::OK, METRICS, resource_metrics::text(context, workers).await?))
        }
        ["healthz", ..] => Ok(answer(StatusCode::OK, TEXT, "ok")),
        _ => Err(Refusal::not_found("404 page not found")),
    }
}

fn pod_list(pods: Vec<Arc<Pod>>) -> String {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}).to_string()
}
