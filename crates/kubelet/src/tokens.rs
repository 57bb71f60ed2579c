//! Service-account tokens of pods: asked for once, kept, and asked for again at four fifths of their life.
//!
//! Upstream: pkg/kubelet/token.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use stdx::Clock;

use crate::pods;

/// The longest that a token is used, whatever its life.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("failed to fetch token")]
    Request { source: Box<kube::Error> },
    #[error("the server issued no token")]
    Empty,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub text: String,
    /// When the next one is due.
    pub refresh: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    pod: String,
    account: String,
    audience: Option<String>,
    seconds: i64,
}

#[derive(Clone)]
pub(crate) struct Tokens {
    client: Client,
    clock: Clock,
    known: Arc<Mutex<HashMap<Wanted, Token>>>,
}

impl Tokens {
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, known: Arc::default() }
    }

    pub async fn get(&self, pod: &Pod, audience: Option<&str>, seconds: i64) -> Result<Token, TokenError> {
        let account = pods::spec(pod).service_account_name.clone().filter(|n| !n.is_empty());
        let wanted = Wanted {
            pod: pods::uid(pod).into(),
            account: account.unwrap_or_else(|| "default".into()),
            audience: audience.filter(|a| !a.is_empty()).map(Into::into),
            seconds,
        };
        let known = self.known.lock().get(&wanted).cloned();
        if let Some(token) = known.filter(|token| token.refresh > self.clock.now()) {
            return Ok(token);
        }
        let token = self.request(pod, &wanted).await?;
        self.known.lock().insert(wanted, token.clone());
        Ok(token)
    }

    pub fn release(&self, uid: &str) {
        self.known.lock().retain(|wanted, _| wanted.pod != uid);
    }

    async fn request(&self, pod: &Pod, wanted: &Wanted) -> Result<Token, TokenError> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: wanted.audience.clone().map(|audience| vec![audience]),
                expiration_seconds: Some(wanted.seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: Some(pods::name(pod).into()),
                    uid: Some(pods::uid(pod).into()),
                }),
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), pods::namespace(pod));
        let now = self.clock.now();
        let answer: TokenRequest = api
            .create_subresource("token", &wanted.account, &PostParams::default(), &request)
            .await
            .map_err(|source| TokenError::Request { source: Box::new(source) })?;
        let status = answer.status.ok_or(TokenError::Empty)?;
        let text = status.token.filter(|token| !token.is_empty()).ok_or(TokenError::Empty)?;
        let expires = status.expiration_timestamp.map_or(now, |time| time.0);
        Ok(Token { text, refresh: refresh_at(now, expires) })
    }
}

fn refresh_at(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(now);
    now + (life * 4 / 5).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::testing::{bench, pod};

    #[tokio::test]
    async fn tokens_are_kept_and_renewed_at_four_fifths_of_their_life() {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = bench(folder.path());
        let tokens = &bench.context.volumes.tokens;
        let owner = pod(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"serviceAccountName": "robot", "containers": []}
        }));
        let get = async || tokens.get(&owner, Some("vault"), 600).await.expect("a token").text;
        let first = get().await;
        bench.clock.advance(Duration::from_secs(479));
        assert_eq!(get().await, first);
        bench.clock.advance(Duration::from_secs(1));
        let second = get().await;
        assert_ne!(second, first);
        let asked: Vec<_> =
            bench.notes.all().into_iter().filter(|(what, _)| what.ends_with("/token")).collect();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0].0, "POST /api/v1/namespaces/n/serviceaccounts/robot/token");
        assert_eq!(asked[0].1["spec"]["audiences"], json!(["vault"]));
        assert_eq!(asked[0].1["spec"]["boundObjectRef"]["uid"], "u");
        tokens.release("u");
        assert_ne!(get().await, second, "a pod that is gone leaves no token");
    }
}
