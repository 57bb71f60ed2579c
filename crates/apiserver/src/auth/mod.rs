//! Who asks, and whether they may.
//!
//! Reading order: [`user`] (an identity), [`authenticate`] (a request gets one), [`attributes`] and [`authorize`]
//! (may it do that), [`objects`] (the live objects that decisions rest on), [`x509`], [`token`] and [`bootstrap`]
//! (credentials),
//! [`rbac`], [`stages`] and [`impersonation`] (the layers of the request path). Never writes to the store.

mod attributes;
mod authenticate;
mod authorize;
mod bootstrap;
pub mod fields;
pub mod impersonation;
pub mod node;
mod objects;
pub mod rbac;
pub mod reviews;
pub mod stages;
#[cfg(test)]
mod tests;
pub mod token;
mod user;
mod x509;

pub use attributes::Attributes;
pub use authenticate::{AuthenticationError, Authenticator, Credentials};
pub use authorize::{Authorizer, Decision, Privileged, Union};
pub use bootstrap::BootstrapTokens;
pub use objects::{Change, Memory, Objects};
pub use user::{UserInfo, extra, group, name};
pub use x509::Certificates;
