//! Client certificates: the common name is the user, the organizations are the groups.
//!
//! Upstream: k8s.io/apiserver/pkg/authentication/request/x509.

use std::collections::BTreeMap;

use async_trait::async_trait;
use stdx::Clock;

use super::{AuthenticationError, Authenticator, Credentials, UserInfo, extra, group};

/// The authenticator of client certificates.
pub struct Certificates {
    clock: Clock,
}

impl Certificates {
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

#[async_trait]
impl Authenticator for Certificates {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<Option<UserInfo>, AuthenticationError> {
        let Some(peer) = credentials.peer else { return Ok(None) };
        if let Some(reason) = &peer.refused {
            return Err(AuthenticationError::Certificate { reason: reason.clone() });
        }
        // A connection may outlive the certificate that it began with.
        if self.clock.now() > peer.not_after {
            return Err(AuthenticationError::Certificate { reason: "expired".to_owned() });
        }
        if peer.common_name.is_empty() {
            return Ok(None);
        }
        let mut groups = peer.organizations.clone();
        groups.push(group::AUTHENTICATED.to_owned());
        let credential = vec![format!("X509SHA256={}", peer.fingerprint)];
        let extra = BTreeMap::from([(extra::CREDENTIAL_ID.to_owned(), credential)]);
        Ok(Some(UserInfo { name: peer.common_name.clone(), uid: String::new(), groups, extra }))
    }
}
