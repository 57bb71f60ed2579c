//! Who asks, and whether they may.
//!
//! Reading order: [`user`] (an identity), [`authenticate`] (a request gets one), [`attributes`] and [`authorize`]
//! (may it do that), [`objects`] (the live objects that decisions rest on). Never writes to the store and never
//! answers a request: it returns identities, decisions and errors.

mod attributes;
mod authenticate;
mod authorize;
mod objects;
pub mod token;
mod user;

pub use attributes::Attributes;
pub use authenticate::{AuthenticationError, Authenticator, Credentials};
pub use authorize::{Authorizer, Decision, Privileged, Union};
pub use objects::{Change, Memory, Objects};
pub use user::{UserInfo, extra, group, name};
