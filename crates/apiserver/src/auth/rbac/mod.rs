//! Role-based access control over the live roles and bindings.
//!
//! Reading order: [`rule`] (one rule), [`index`] (roles and bindings by subject), [`authorizer`], [`escalation`]
//! (nobody grants what he does not hold), [`policy`] and [`bootstrap`] (the roles that every cluster has).

mod authorizer;
mod bootstrap;
mod escalation;
mod index;
mod policy;
mod rule;

pub use authorizer::Rbac;
pub use bootstrap::{BootstrapError, ensure};
pub use escalation::Escalation;
pub use index::{Grant, Index};
pub use policy::{Policy, PolicyObject};
pub use rule::Rule;

pub const GROUP: &str = "rbac.authorization.k8s.io";
