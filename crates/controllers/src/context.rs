//! What every controller is given.

use std::sync::Arc;

use client::{Hub, Recorder};
use kube::Client;
use stdx::Clock;

/// A client that acts as the service account of the named controller in kube-system.
///
/// Upstream: `--use-service-account-credentials`: each controller has rights of its own.
pub type ClientFor = Arc<dyn Fn(&str) -> Client + Send + Sync>;

/// Cheap to clone; each controller has its own, since `client` speaks for it.
#[derive(Clone)]
pub(crate) struct Context {
    pub hub: Hub,
    pub client: Client,
    pub recorder: Recorder,
    pub clock: Clock,
}
