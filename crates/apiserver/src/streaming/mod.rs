//! Requests that are passed on: to kubelets (exec, attach, port-forward, logs), to pods, services and nodes (proxy).
//!
//! Never interprets what flows: after a 101 both directions are copied byte by byte, so WebSocket (v4, v5, tunneled
//! SPDY) and SPDY/3.1 work alike, as far as the other end speaks them. Upstream translates WebSocket to SPDY here.
//!
//! Reading order: [`options`] (what the client asks of a pod), [`target`] (where that leads), [`connect`], [`forward`].

mod connect;
mod forward;
mod options;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::uri::PathAndQuery;
use pki::Credential;
use serde_json::{Value, json};
use stdx::{Clock, Random, Shutdown, Tasks};

pub use connect::ConnectError;
use connect::Connector;
use forward::Forwarder;
use options::{Container, LogOptions, StreamOptions};
use target::{Endpoint, Scheme};

use crate::admission::{self, Chain, Operation};
use crate::auth::{Objects, UserInfo, fields};
use crate::tls::TlsError;
use crate::{ApiError, GroupResource, Request, RequestInfo, Response, body};

/// The longest text that a kubelet is asked for: 110 pods with a few containers take some 200 KiB.
const KUBELET_TEXT: usize = 16 << 20;

/// What is needed to reach kubelets.
pub struct Parts {
    pub objects: Arc<dyn Objects>,
    pub admission: Chain,
    /// The identity towards kubelets: `kube-apiserver-kubelet-client`.
    pub client: Credential,
    /// The authority of kubelets' serving certificates, PEM.
    pub kubelet_ca: String,
    pub clock: Clock,
    pub random: Random,
    pub tasks: Tasks,
    pub shutdown: Shutdown,
}

/// Passes requests on.
pub struct Streaming {
    objects: Arc<dyn Objects>,
    admission: Chain,
    forwarder: Forwarder,
    random: Random,
}

impl Streaming {
    /// # Errors
    /// When the credential or authority is malformed.
    pub fn new(parts: Parts) -> Result<Self, TlsError> {
        let Parts { objects, admission, client, kubelet_ca, clock, random, tasks, shutdown } = parts;
        let connector = Connector::new(&client, &kubelet_ca, clock)?;
        Ok(Self { objects, admission, forwarder: Forwarder::new(connector, tasks, shutdown), random })
    }

    /// Whether such a request is answered here.
    pub fn serves(info: &RequestInfo) -> bool {
        info.api_group.is_empty()
            && info.is_resource_request
            && matches!(
                (info.resource.as_str(), info.subresource.as_str()),
                ("pods", "exec" | "attach" | "portforward" | "log" | "proxy")
                    | ("services" | "nodes", "proxy")
            )
    }

    /// Answers `request`, of which `info` is true.
    ///
    /// # Errors
    /// When options are wrong, the target does not exist, or it cannot be reached.
    pub async fn serve(
        &self,
        request: Request,
        info: &RequestInfo,
        user: &UserInfo,
    ) -> Result<Response, ApiError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match (info.resource.as_str(), info.subresource.as_str()) {
            ("pods", "log") => self.log(request, info, &query).await,
            ("pods", "exec" | "attach" | "portforward") => self.stream(request, info, user, &query).await,
            (resource, "proxy") => self.proxy(request, info, user, resource, &query).await,
            _ => Err(ApiError::no_such_path()),
        }
    }

    async fn pod(&self, info: &RequestInfo) -> Result<Arc<Value>, ApiError> {
        self.object("pods", &info.namespace, info.path_name()).await
    }

    async fn object(&self, resource: &str, namespace: &str, name: &str) -> Result<Arc<Value>, ApiError> {
        let found = self.objects.get("", resource, namespace, name).await;
        found.ok_or_else(|| ApiError::not_found(&GroupResource::new("", resource), name))
    }

    async fn kubelet(&self, node: &str) -> Result<Endpoint, ApiError> {
        let node = self.object("nodes", "", node).await?;
        target::kubelet(&node)
    }

    /// GETs a text of a node's kubelet, as ourselves.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    pub(crate) async fn ask_kubelet(&self, node: &Value, path: &str) -> Result<String, ApiError> {
        let kubelet = target::kubelet(node)?;
        let request = Request::new(body::empty());
        let response = self.forwarder.forward(&kubelet, parse(path)?, request).await.map_err(dial_error)?;
        if !response.status().is_success() {
            let resource = GroupResource::new("", "nodes");
            return Err(forward::refusal(response, &resource, fields::name(node)).await);
        }
        forward::text(response.into_body(), KUBELET_TEXT).await.map_err(ApiError::internal)
    }

    async fn log(&self, request: Request, info: &RequestInfo, query: &str) -> Result<Response, ApiError> {
        let pod = self.pod(info).await?;
        let options = LogOptions::parse(query, fields::name(&pod))?;
        let container = Container::find(&pod, &options.container, Container::Any)?;
        let node = fields::text(&pod, "/spec/nodeName");
        if node.is_empty() {
            // Nothing has been logged before there is a place for it.
            return Ok(text_response(body::empty()));
        }
        let kubelet = self.kubelet(node).await?;
        let path = format!(
            "/containerLogs/{}/{}/{container}{}",
            fields::namespace(&pod),
            fields::name(&pod),
            options.kubelet_query()
        );
        let response = self.forwarder.forward(&kubelet, parse(&path)?, request).await;
        let response = response.map_err(|error| log_error(&kubelet, &path, &error))?;
        if response.status().is_success() {
            return Ok(text_response(response.into_body()));
        }
        Err(forward::refusal(response, &GroupResource::new("", "pods"), info.path_name()).await)
    }

    async fn stream(
        &self,
        request: Request,
        info: &RequestInfo,
        user: &UserInfo,
        query: &str,
    ) -> Result<Response, ApiError> {
        let pod = self.pod(info).await?;
        let (namespace, name) = (fields::namespace(&pod), fields::name(&pod));
        let options = StreamOptions::parse(&info.subresource, query);
        self.admit(info, user, options.object()).await?;
        let node = fields::text(&pod, "/spec/nodeName");
        let path = match info.subresource.as_str() {
            "portforward" => format!("/portForward/{namespace}/{name}"),
            subresource => {
                let container = Container::find(&pod, &options.container, Container::Any)?;
                format!("/{subresource}/{namespace}/{name}/{container}")
            }
        };
        if node.is_empty() {
            return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
        }
        let kubelet = self.kubelet(node).await?;
        let path = parse(&format!("{path}?{}", options.kubelet_query()))?;
        self.forwarder.forward(&kubelet, path, request).await.map_err(dial_error)
    }

    async fn proxy(
        &self,
        request: Request,
        info: &RequestInfo,
        user: &UserInfo,
        resource: &str,
        query: &str,
    ) -> Result<Response, ApiError> {
        let rest = target::proxied_path(request.uri().path());
        self.admit(info, user, json!({"path": rest})).await?;
        let (scheme, name, port) = target::split_name(info.path_name())?;
        let endpoint = match resource {
            "pods" => target::pod(&*self.object("pods", &info.namespace, name).await?, scheme, port)?,
            "services" => self.service(&info.namespace, name, scheme, port).await?,
            _ => target::node(&*self.object("nodes", "", name).await?, scheme, port)?,
        };
        let path = if query.is_empty() { rest } else { format!("{rest}?{query}") };
        self.forwarder.forward(&endpoint, parse(&path)?, request).await.map_err(|error| {
            ApiError::service_unavailable(format!(
                "error trying to reach service: {}",
                stdx::error_chain(&error)
            ))
        })
    }

    async fn service(
        &self,
        namespace: &str,
        name: &str,
        scheme: Scheme,
        port: &str,
    ) -> Result<Endpoint, ApiError> {
        let service = self.object("services", namespace, name).await?;
        let slices = self.objects.list("discovery.k8s.io", "endpointslices", namespace).await;
        target::service(&service, &slices, scheme, port, &self.random)
    }

    async fn admit(&self, info: &RequestInfo, user: &UserInfo, options: Value) -> Result<(), ApiError> {
        let mut request = admission::Request {
            operation: Operation::Connect,
            resource: GroupResource::new(info.api_group.as_str(), info.resource.as_str()),
            version: info.api_version.clone(),
            kind: String::new(),
            subresource: info.subresource.clone(),
            namespace: info.namespace.clone(),
            name: info.path_name().to_owned(),
            object: Some(options),
            old: None,
            options: Value::Null,
            user: user.clone(),
            dry_run: false,
            warnings: admission::Warnings::default(),
            rounds: admission::Rounds::default(),
        };
        self.admission.admit(&mut request).await?;
        self.admission.validate(&request).await
    }
}

fn text_response(body: crate::Body) -> Response {
    let mut response = Response::new(body);
    let plain = http::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

fn parse(path: &str) -> Result<PathAndQuery, ApiError> {
    path.parse().map_err(|_| ApiError::bad_request(format!("invalid path {path:?}")))
}

/// Upstream: apimachinery/pkg/util/proxy/upgradeaware.go.
fn dial_error(error: ConnectError) -> ApiError {
    ApiError::new(500, "", format!("error dialing backend: {}", error.text()))
        .with_log(stdx::error_chain(&error))
}

fn log_error(kubelet: &Endpoint, path: &str, error: &ConnectError) -> ApiError {
    let text = format!("Get \"https://{}{path}\": {}", kubelet.authority(), error.text());
    ApiError::new(500, "", text).with_log(stdx::error_chain(error))
}
