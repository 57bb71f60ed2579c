//! The contract of an authenticator.

use async_trait::async_trait;

use super::UserInfo;
use crate::tls::PeerCertificate;

/// What a request brings to prove its identity.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The certificate of the TLS connection.
    pub peer: Option<&'a PeerCertificate>,
    /// The bearer token, without its scheme.
    pub token: Option<&'a str>,
}

impl Credentials<'_> {
    pub fn is_empty(&self) -> bool {
        self.peer.is_none() && self.token.is_none()
    }
}

/// Why credentials were refused. The client reads `Unauthorized`; this is for the log.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    #[error("client certificate refused: {reason}")]
    Certificate { reason: String },
    #[error("token refused")]
    Token(#[from] super::token::TokenError),
    #[error("no credentials that anything recognizes")]
    NoCredentials,
}

/// Finds out who asks.
///
/// 1. `Ok(None)`: these credentials are not of my kind; another may know them.
/// 2. `Err`: they are of my kind and wrong. Others are still asked; if none knows them, the request is refused.
#[async_trait]
pub trait Authenticator: Send + Sync {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<Option<UserInfo>, AuthenticationError>;
}
