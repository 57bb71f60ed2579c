//! The request path: every request passes these layers, in this order, which is upstream's.
//!
//! Each layer is a file with a line saying why it stands where it stands. [`Stage`] is how a layer is written,
//! [`Stages`] stacks them, [`Path`] is the whole as `serve` and in-process callers see it. The layers of identity and
//! permission live in [`crate::auth`].
//!
//! Upstream: apiserver/pkg/server/config.go, `DefaultBuildHandlerChain`.

mod answer;
mod audit;
mod deadline;
mod info;
mod panic;
pub mod stage;

use std::sync::Arc;

use async_trait::async_trait;
use stdx::{Clock, Random};

pub use answer::failure;
pub use stage::{Next, Stage, Stages};

use crate::auth::impersonation::Impersonation;
use crate::auth::stages::{Authentication, Authorization};
use crate::auth::{Authenticator, Authorizer};
use crate::{Request, Response};

/// What the layers need.
pub struct Parts {
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    pub authorizer: Arc<dyn Authorizer>,
    pub clock: Clock,
    pub random: Random,
    /// Answers what has passed all layers.
    pub handler: Arc<dyn Stage>,
}

/// The layers, outermost first. The order is the contract; what a layer does is in its file.
pub fn stages(parts: Parts) -> Stages {
    let Parts { authenticators, authorizer, clock, random, handler } = parts;
    Stages::new(vec![
        ("panic", Arc::new(panic::Recovery)),
        ("request info", Arc::new(info::Resolver)),
        ("audit", Arc::new(audit::Room::new(random))),
        ("deadline", Arc::new(deadline::Deadline::new(clock))),
        ("authentication", Arc::new(Authentication::new(authenticators))),
        ("impersonation", Arc::new(Impersonation::new(authorizer.clone()))),
        ("authorization", Arc::new(Authorization::new(authorizer))),
        ("handler", handler),
    ])
}

/// The path with errors turned into answers.
#[derive(Clone)]
pub struct Path(Stages);

impl Path {
    pub fn new(stages: Stages) -> Self {
        Self(stages)
    }

    /// The names of its layers, in order.
    pub fn layers(&self) -> Vec<&'static str> {
        self.0.names()
    }
}

#[async_trait]
impl crate::serve::Handler for Path {
    async fn handle(&self, request: Request) -> Response {
        answer::answer(&self.0, request).await
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::testing::TestServer;

    #[tokio::test]
    async fn the_order_is_upstreams() {
        let server = TestServer::start().await;
        expect!["panic > request info > audit > deadline > authentication > impersonation > authorization > handler"]
            .assert_eq(&server.handle.layers().join(" > "));
    }
}
