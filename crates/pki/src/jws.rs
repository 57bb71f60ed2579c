//! The signature of cluster-info: JWS with the payload left out (RFC 7515, appendix F), HMAC-SHA256.
//!
//! Upstream: cluster-bootstrap/token/jws.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

fn header(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}"}}"#))
}

fn key(id: &str, secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, format!("{id}.{secret}").as_bytes())
}

fn message(header: &str, content: &str) -> String {
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(content))
}

/// Signs `content` with the bootstrap token `id`.`secret`.
pub fn detached_jws(content: &str, id: &str, secret: &str) -> String {
    let header = header(id);
    let tag = hmac::sign(&key(id, secret), message(&header, content).as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// Whether `jws` is the signature of `content` by this token, compared in constant time.
pub fn is_signed_by(jws: &str, content: &str, id: &str, secret: &str) -> bool {
    let Some((header, signature)) = jws.split_once("..") else { return false };
    // What is no base64 is no signature.
    let Ok(tag) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    header == self::header(id)
        && hmac::verify(&key(id, secret), message(header, content).as_bytes(), &tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_and_content_verify() {
        let (id, secret) = ("joshua", "0123456789abcdef");
        let jws = detached_jws("Hello from the other side. I must have called a thousand times.", id, secret);
        assert!(jws.starts_with("eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9.."), "{jws}");
        let holds = |content: &str, secret: &str| is_signed_by(&jws, content, id, secret);
        assert!(holds("Hello from the other side. I must have called a thousand times.", secret));
        assert!(!holds("Hello", secret));
        assert!(!holds("Hello from the other side. I must have called a thousand times.", "another"));
    }
}
