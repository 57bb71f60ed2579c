//! What every handler shares.

use std::sync::Arc;

use stdx::{Clock, Random, Shutdown};

use crate::addresses::Addresses;
use crate::admission::Chain;
use crate::auth::Authorizer;
use crate::auth::token::Issuer;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::paths::Documents;
use crate::registry::Registry;
use crate::streaming::Streaming;
use crate::verbs::Virtuals;

/// The server's parts, fixed at start.
pub struct Core {
    pub config: Config,
    pub clock: Clock,
    pub random: Random,
    pub shutdown: Shutdown,
    pub registry: Arc<Registry>,
    pub admission: Chain,
    pub addresses: Addresses,
    pub authorizer: Arc<dyn Authorizer>,
    pub issuer: Arc<Issuer>,
    /// Resources that are answered and never stored.
    pub virtuals: Virtuals,
    /// Passes exec, logs, proxies on.
    pub streaming: Streaming,
    /// What kubelets told of what is used.
    pub metrics: Metrics,
    /// Discovery and OpenAPI, made once.
    pub documents: Documents,
}
