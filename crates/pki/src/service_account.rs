//! The keys that sign and verify service-account tokens: ES256, that is ECDSA P-256 with SHA-256.
//!
//! Upstream signs with whatever key it is given, RSA or ECDSA; ring makes no RSA keys, so ours are ECDSA.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};

/// The fixed start of a P-256 SubjectPublicKeyInfo (RFC 5480); the 65 bytes of the point follow.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_LEN: usize = 65;

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the PEM holds no {label}")]
    Pem { label: &'static str },
    #[error("the key is not an ECDSA P-256 key in PKCS#8: {reason}")]
    Rejected { reason: String },
    #[error("no randomness for a signature")]
    Sign,
}

/// Signs tokens.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key, as PKCS#8 PEM.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn generate_pem() -> Result<String, KeyError> {
        rcgen::KeyPair::generate()
            .map(|key| key.serialize_pem())
            .map_err(|error| KeyError::Rejected { reason: error.to_string() })
    }

    /// # Errors
    /// When `pem` is not a P-256 private key in PKCS#8.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = pem_body(pem, "PRIVATE KEY")?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new())
            .map_err(|rejected| KeyError::Rejected { reason: rejected.to_string() })?;
        let public = VerifyingKey { point: pair.public_key().as_ref().to_vec() };
        Ok(Self { pair, public })
    }

    /// The 64 bytes of `r ‖ s` that JSON Web Signatures use.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Sign)?;
        Ok(signature.as_ref().to_vec())
    }

    pub fn verifying(&self) -> &VerifyingKey {
        &self.public
    }
}

/// Verifies tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    /// The uncompressed point: 0x04, x, y.
    point: Vec<u8>,
}

impl VerifyingKey {
    /// # Errors
    /// When `pem` is not a P-256 public key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = pem_body(pem, "PUBLIC KEY")?;
        match der.strip_prefix(&SPKI_PREFIX) {
            Some(point) if point.len() == POINT_LEN => Ok(Self { point: point.to_vec() }),
            _ => Err(KeyError::Rejected { reason: "not a P-256 point".to_owned() }),
        }
    }

    pub fn to_pem(&self) -> String {
        let body = STANDARD.encode(self.spki());
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
            .collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The key id: SHA-256 over the SubjectPublicKeyInfo.
    ///
    /// Upstream: pkg/serviceaccount, `keyIDFromPublicKey`.
    pub fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &self.spki()))
    }

    /// The coordinates x and y, as JSON Web Keys carry them.
    pub fn coordinates(&self) -> (String, String) {
        (URL_SAFE_NO_PAD.encode(&self.point[1..33]), URL_SAFE_NO_PAD.encode(&self.point[33..]))
    }

    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature).is_ok()
    }

    fn spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.point].concat()
    }
}

fn pem_body(pem: &str, label: &'static str) -> Result<Vec<u8>, KeyError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let absent = || KeyError::Pem { label };
    let (_, rest) = pem.split_once(&begin).ok_or_else(absent)?;
    let (body, _) = rest.split_once(&end).ok_or_else(absent)?;
    let compact: String = body.split_whitespace().collect();
    STANDARD.decode(compact).map_err(|_| absent())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_verifies() {
        let key = SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        let public = VerifyingKey::from_pem(&key.verifying().to_pem()).unwrap();
        assert_eq!(&public, key.verifying());
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"another", &signature));
    }

    #[test]
    fn a_key_is_never_printed() {
        let pem = SigningKey::generate_pem().unwrap();
        let printed = format!("{:?}", SigningKey::from_pem(&pem).unwrap());
        assert!(printed.starts_with("SigningKey { id:") && printed.ends_with(".. }"), "{printed}");
    }
}
