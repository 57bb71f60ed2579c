//! Service-account tokens: made, described, verified.
//!
//! Reading order: [`claims`], [`jwt`], [`keys`], [`request`] (TokenRequest), [`verify`].

mod claims;
mod jwt;
mod keys;
mod request;
#[cfg(test)]
mod tests;
mod verify;

pub use claims::{Claims, Kubernetes, Reference};
pub use keys::Issuer;
pub use request::Requests;
pub use verify::Verifier;

/// Why a token was refused. For the log only.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token is malformed: {reason}")]
    Malformed { reason: &'static str },
    #[error("no key verifies the signature")]
    Signature,
    #[error("the token is for other audiences")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the {kind} that the token is bound to is gone or another")]
    BoundObject { kind: &'static str },
    #[error("the service account is gone or another")]
    ServiceAccount,
}
