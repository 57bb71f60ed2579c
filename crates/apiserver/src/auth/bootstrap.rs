//! Tokens that new nodes join with: `ID.SECRET`, each a Secret in kube-system.
//!
//! Upstream: plugin/pkg/auth/authenticator/token/bootstrap/bootstrap.go.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use stdx::Clock;

use super::{AuthenticationError, Authenticator, Credentials, Objects, UserInfo, group};

const NAMESPACE: &str = "kube-system";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const USER_PREFIX: &str = "system:bootstrap:";
const BOOTSTRAPPERS: &str = "system:bootstrappers";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// The authenticator of bootstrap tokens.
pub struct BootstrapTokens {
    objects: Arc<dyn Objects>,
    clock: Clock,
}

impl BootstrapTokens {
    pub fn new(objects: Arc<dyn Objects>, clock: Clock) -> Self {
        Self { objects, clock }
    }
}

#[async_trait]
impl Authenticator for BootstrapTokens {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<Option<UserInfo>, AuthenticationError> {
        let Some((id, secret)) = credentials.token.and_then(parts) else { return Ok(None) };
        let name = format!("bootstrap-token-{id}");
        let found = self.objects.get("", "secrets", NAMESPACE, &name).await;
        Ok(found.and_then(|found| user(&found, id, secret, self.clock.now())))
    }
}

fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH && is_plain(id) && is_plain(secret))
        .then_some((id, secret))
}

/// Who joins with this token; none if the Secret does not vouch for it.
fn user(found: &Value, id: &str, secret: &str, now: Timestamp) -> Option<UserInfo> {
    let is_secret = found["type"] == SECRET_TYPE && !found["metadata"]["deletionTimestamp"].is_string();
    let is_good = is_secret
        && is_same(&text(found, "token-secret"), secret)
        && text(found, "token-id") == id
        && text(found, "usage-bootstrap-authentication") == "true"
        && !is_expired(&text(found, "expiration"), now);
    if !is_good {
        return None;
    }
    let mut groups = vec![BOOTSTRAPPERS.to_owned()];
    for extra in text(found, "auth-extra-groups").split(',').filter(|extra| !extra.is_empty()) {
        if !is_group(extra) {
            return None;
        }
        groups.push(extra.to_owned());
    }
    groups.sort();
    groups.dedup();
    groups.push(group::AUTHENTICATED.to_owned());
    Some(UserInfo { name: format!("{USER_PREFIX}{id}"), groups, ..UserInfo::default() })
}

/// What is no base64 or no text equals nothing that is asked for.
fn text(found: &Value, key: &str) -> String {
    let decoded = found["data"][key].as_str().and_then(|text| STANDARD.decode(text).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// Takes the same time wherever the two differ.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// A time that cannot be read has passed.
fn is_expired(expiration: &str, now: Timestamp) -> bool {
    !expiration.is_empty() && expiration.parse::<Timestamp>().map_or(true, |end| end <= now)
}

/// `system:bootstrappers:` and something that ends in a letter or digit.
fn is_group(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("system:bootstrappers:") else { return false };
    let is_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    rest.bytes().all(|b| is_letter(b) || b == b':' || b == b'-')
        && rest.bytes().last().is_some_and(is_letter)
        && rest.len() <= 256
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::Memory;

    fn secret(more: &[(&str, &str)]) -> Value {
        let mut secret = json!({
            "type": SECRET_TYPE, "metadata": {"name": "bootstrap-token-abcdef", "namespace": NAMESPACE}, "data": {},
        });
        let all = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ];
        for (key, value) in all.iter().chain(more) {
            secret["data"][*key] = json!(STANDARD.encode(value));
        }
        secret
    }

    async fn ask(secret: Value, token: &str) -> Option<UserInfo> {
        let objects = Memory::default();
        objects.put("", "secrets", secret);
        let tokens = BootstrapTokens::new(Arc::new(objects), Clock::system());
        let credentials = Credentials { peer: None, token: Some(token) };
        tokens.authenticate(credentials).await.expect("never fails")
    }

    const TOKEN: &str = "abcdef.0123456789abcdef";

    #[tokio::test]
    async fn a_good_token_is_a_bootstrapper() {
        let groups = [("auth-extra-groups", "system:bootstrappers:nodes")];
        let user = ask(secret(&groups), TOKEN).await.expect("known");
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert_eq!(
            user.groups,
            ["system:bootstrappers", "system:bootstrappers:nodes", "system:authenticated"]
        );
    }

    #[tokio::test]
    async fn others_are_nobody() {
        for more in [
            ("token-secret", "0123456789abcdee"),
            ("token-id", "abcdee"),
            ("usage-bootstrap-authentication", "false"),
            ("expiration", "2020-01-01T00:00:00Z"),
            ("expiration", "soon"),
            ("auth-extra-groups", "system:masters"),
        ] {
            assert_eq!(ask(secret(&[more]), TOKEN).await, None, "{more:?}");
        }
        assert_eq!(ask(secret(&[]), "abcdef.short").await, None);
        assert_eq!(ask(secret(&[]), "zzzzzz.0123456789abcdef").await, None);
    }
}
