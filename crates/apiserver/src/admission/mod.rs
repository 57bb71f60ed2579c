//! Admission: what changes or refuses a write after it is authorized and before it is stored.
//!
//! Never answers reads, never writes by itself. The chain runs every plugin's `admit` in upstream's order and then,
//! once the object has been defaulted and validated, every plugin's `validate`.

mod authorizer;
mod certificates;
mod chain;
mod defaults;
pub mod expressions;
mod limit_ranger;
pub mod matching;
mod namespace_lifecycle;
mod node_restriction;
mod plugins;
mod pod;
mod pod_security;
mod policies;
pub mod priority;
mod request;
mod resource_quota;
mod runtime_class;
mod service_account;
mod taint_nodes;
#[cfg(test)]
mod tests;
mod tolerations;
mod volumes;

use async_trait::async_trait;

pub use chain::Chain;
pub use plugins::Parts;
pub use policies::Policies;
pub use request::{Operation, Request, Rounds, Warnings};
pub(crate) use resource_quota::ResourceQuota;

use crate::ApiError;

/// One admission plugin.
///
/// 1. `admit` may change `request.object` and nothing else; it runs before defaulting's second pass and validation.
/// 2. `validate` sees the object as it would be stored.
/// 3. Both are told of dry runs by `request.dry_run` and then have no effect beyond the object.
#[async_trait]
pub trait Admission: Send + Sync {
    /// The plugin's upstream name, `NamespaceLifecycle`.
    fn name(&self) -> &'static str;

    async fn admit(&self, _request: &mut Request) -> Result<(), ApiError> {
        Ok(())
    }

    async fn validate(&self, _request: &Request) -> Result<(), ApiError> {
        Ok(())
    }
}
