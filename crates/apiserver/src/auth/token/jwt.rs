//! JSON Web Tokens in compact form, signed with ES256 (RFC 7515, RFC 7518).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pki::{KeyError, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::TokenError;

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kid: String,
}

/// A token over `claims`.
///
/// # Errors
/// When the machine gives no randomness.
pub fn sign(key: &SigningKey, claims: &impl Serialize) -> Result<String, KeyError> {
    let header = Header { alg: "ES256".to_owned(), kid: key.verifying().id() };
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = key.sign(message.as_bytes())?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The claims, before anything is known about who made them.
pub fn peek<T: DeserializeOwned>(token: &str) -> Result<T, TokenError> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(claims), Some(_), None) => read(claims),
        _ => Err(TokenError::Malformed { reason: "not three parts" }),
    }
}

/// The claims, if one of `keys` signed them.
pub fn verify<T: DeserializeOwned>(token: &str, keys: &[VerifyingKey]) -> Result<T, TokenError> {
    let malformed = |reason| TokenError::Malformed { reason };
    let (message, signature) = token.rsplit_once('.').ok_or(malformed("not three parts"))?;
    let (header, claims) = message.split_once('.').ok_or(malformed("not three parts"))?;
    let header: Header = read(header)?;
    if header.alg != "ES256" {
        return Err(malformed("unknown algorithm"));
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed("signature is not base64"))?;
    let candidates = keys.iter().filter(|key| header.kid.is_empty() || key.id() == header.kid);
    match candidates.into_iter().any(|key| key.verifies(message.as_bytes(), &signature)) {
        true => read(claims),
        false => Err(TokenError::Signature),
    }
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("headers and claims are plain data"))
}

fn read<T: DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let bytes =
        URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed { reason: "a part is not base64" })?;
    serde_json::from_slice(&bytes)
        .map_err(|_| TokenError::Malformed { reason: "a part is not the JSON expected" })
}
