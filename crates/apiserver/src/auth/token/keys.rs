//! The issuer: its name, its keys, and the documents that describe them to others.
//!
//! Upstream: pkg/serviceaccount/openidmetadata.go.

use pki::{KeyError, Pki, SigningKey, VerifyingKey};
use serde_json::{Value, json};

/// Who issues tokens, with which keys, for whom.
#[derive(Debug)]
pub struct Issuer {
    /// `https://kubernetes.default.svc.cluster.local`
    pub name: String,
    /// Audiences that the API server itself answers to; the issuer's name unless configured.
    pub audiences: Vec<String>,
    signing: SigningKey,
    /// The signing key first, then those whose tokens are still accepted.
    verifying: Vec<VerifyingKey>,
}

impl Issuer {
    /// The issuer of a cluster in `cluster_domain`.
    ///
    /// # Errors
    /// When the key is unusable.
    pub fn new(pki: &Pki, cluster_domain: &str) -> Result<Self, KeyError> {
        let signing = SigningKey::from_pem(pki.service_account_key.pem())?;
        let previous = pki.previous_service_account_keys.clone();
        Ok(Self::with_keys(&format!("https://kubernetes.default.svc.{cluster_domain}"), signing, previous))
    }

    pub fn with_keys(name: &str, signing: SigningKey, previous: Vec<VerifyingKey>) -> Self {
        let verifying = std::iter::once(signing.verifying().clone()).chain(previous).collect();
        Self { name: name.to_owned(), audiences: vec![name.to_owned()], signing, verifying }
    }

    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    pub fn verifying(&self) -> &[VerifyingKey] {
        &self.verifying
    }

    /// `/.well-known/openid-configuration`; `jwks_uri` is where the keys are, absolute.
    pub fn discovery(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.name,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// `/openid/v1/jwks`, media type `application/jwk-set+json`.
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.verifying.iter().map(jwk).collect();
        json!({ "keys": keys })
    }
}

fn jwk(key: &VerifyingKey) -> Value {
    let (x, y) = key.coordinates();
    json!({"use": "sig", "kty": "EC", "kid": key.id(), "crv": "P-256", "alg": "ES256", "x": x, "y": y})
}
