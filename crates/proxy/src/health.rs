//! Tells balancers outside whether this node has endpoints of a Service: one small HTTP server a health port.
//!
//! Upstream: pkg/proxy/healthcheck/service_health.go.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use client::Key;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use stdx::{Shutdown, Tasks, Trigger};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::rules::Health;

/// The servers that run.
pub(crate) struct Servers {
    tasks: Tasks,
    shutdown: Shutdown,
    running: HashMap<(Key, u16), Running>,
}

struct Running {
    local_endpoints: watch::Sender<usize>,
    _stop: Trigger,
}

impl Servers {
    pub fn new(tasks: Tasks, shutdown: Shutdown) -> Self {
        Self { tasks, shutdown, running: HashMap::new() }
    }

    /// Starts, tells and stops servers, so that they are these.
    pub async fn set(&mut self, wanted: BTreeMap<Key, Health>) {
        self.running.retain(|(key, port), _| wanted.get(key).is_some_and(|health| health.port == *port));
        for (key, health) in wanted {
            let id = (key, health.port);
            if let Some(running) = self.running.get(&id) {
                running.local_endpoints.send_replace(health.local_endpoints);
                continue;
            }
            match self.start(&id.0, &health).await {
                Ok(running) => {
                    self.running.insert(id, running);
                }
                Err(error) => {
                    tracing::warn!(service = %id.0, port = id.1, %error, "cannot serve the health port");
                }
            }
        }
    }

    async fn start(&self, key: &Key, health: &Health) -> std::io::Result<Running> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, health.port))).await?;
        let (local_endpoints, told) = watch::channel(health.local_endpoints);
        let (stop, shutdown) = self.shutdown.child();
        let (key, tasks) = (key.clone(), self.tasks.clone());
        self.tasks.spawn("service health", async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = accept(&listener, &key, &told, &tasks, &shutdown) => {}
            }
        });
        Ok(Running { local_endpoints, _stop: stop })
    }
}

async fn accept(
    listener: &TcpListener,
    key: &Key,
    told: &watch::Receiver<usize>,
    tasks: &Tasks,
    shutdown: &Shutdown,
) {
    loop {
        // A connection that was gone before it was accepted is no loss.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (key, told, shutdown) = (key.clone(), told.clone(), shutdown.clone());
        let service = hyper::service::service_fn(move |_| {
            let answer = answer(&key, *told.borrow());
            async move { Ok::<_, Infallible>(answer) }
        });
        tasks.spawn("service health connection", async move {
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = shutdown.wait() => {}
                // The client's affair if it breaks off.
                _ = connection => {}
            }
        });
    }
}

fn answer(key: &Key, local_endpoints: usize) -> Response<Full<Bytes>> {
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{}\",\n\t\t\"name\": \"{}\"\n\t}},\n\t\"localEndpoints\": {local_endpoints},\n\t\"serviceProxyHealthy\": true\n}}",
        key.namespace, key.name
    );
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if local_endpoints == 0 {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    headers.insert("x-load-balancing-endpoint-weight", http::HeaderValue::from(local_endpoints));
    response
}
