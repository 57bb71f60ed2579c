//! What the rest of the process gets.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, header};
use http_body_util::BodyExt;
use stdx::Tasks;

use crate::auth::UserInfo;
use crate::path::Path;
use crate::serve::Handler;
use crate::server::Core;
use crate::{BoxError, Response};

/// A running server. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(super) core: Arc<Core>,
    pub(super) path: Path,
    pub(super) address: Option<SocketAddr>,
    pub(super) tasks: Tasks,
}

impl Handle {
    /// A client that acts as `user`, without a socket. Authorization and admission run as for everyone.
    pub fn client(&self, user: UserInfo) -> kube::Client {
        let path = self.path.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (path, user) = (path.clone(), user.clone());
            async move {
                let mut request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
                if let Some(agent) = user_agent(&user) {
                    request.headers_mut().entry(header::USER_AGENT).or_insert(agent);
                }
                request.extensions_mut().insert(user);
                Ok::<Response, BoxError>(path.handle(request).await)
            }
        });
        kube::Client::new(service, "default")
    }

    /// Where the server listens; none if it serves this process only.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The request path itself, for those that have requests of their own.
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(self.path.clone())
    }

    /// The names of the request path's layers, outermost first.
    pub fn layers(&self) -> Vec<&'static str> {
        self.path.layers()
    }

    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Returns once everything that the server runs has ended, after shutdown.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// What upstream's component of this identity calls itself: `kube-scheduler`, `kubelet`.
fn user_agent(user: &UserInfo) -> Option<HeaderValue> {
    let name = user.name.strip_prefix("system:").unwrap_or(&user.name);
    let agent = match name.split_once(':') {
        Some(("node", _)) => "kubelet",
        Some(("serviceaccount", _)) => "kube-controller-manager",
        _ => name,
    };
    HeaderValue::from_str(agent).ok() // a name that is no header names no manager
}
