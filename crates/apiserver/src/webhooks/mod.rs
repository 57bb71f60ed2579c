//! Webhooks: servers elsewhere that change or refuse a write, or convert custom objects.
//!
//! Never decides what a webhook's answer means for storage; never keeps a connection. Reading order: [`client`] (one
//! call), [`hooks`] and [`conditions`] (which are asked about
//! what), [`review`] (question and answer), [`mutating`] and [`validating`]
//! (the admission plugins), [`conversion`].
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/webhook.

mod client;
mod conditions;
mod conversion;
mod hooks;
mod mutating;
mod review;
mod validating;

pub use client::Client;
pub use conversion::Conversions;
pub use mutating::Mutating;
pub use validating::Validating;

use std::sync::Arc;

use stdx::Random;

use crate::auth::Objects;
use crate::registry::Registry;

/// What all webhooks are asked with.
#[derive(Clone)]
pub struct Caller {
    pub client: Arc<Client>,
    pub objects: Arc<dyn Objects>,
    pub registry: Arc<Registry>,
    pub random: Random,
}
