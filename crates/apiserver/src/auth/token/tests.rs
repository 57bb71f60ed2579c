use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use pki::SigningKey;
use serde_json::{Value, json};
use stdx::{Clock, Random, error_chain};

use super::*;
use crate::auth::{Memory, Objects, fields};

struct Fixture {
    objects: Memory,
    clock: Clock,
    requests: Requests,
    verifier: Verifier,
    issuer: Arc<Issuer>,
}

fn fixture() -> Fixture {
    let key = SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap();
    let issuer = Arc::new(Issuer::with_keys("https://issuer", key, Vec::new()));
    let (objects, clock) = (Memory::default(), Clock::manual("2026-01-01T00:00:00Z".parse().unwrap()));
    let shared: Arc<dyn Objects> = Arc::new(objects.clone());
    objects.put("", "serviceaccounts", json!({"metadata": {"namespace": "a", "name": "bot", "uid": "sa-1"}}));
    objects.put(
        "",
        "pods",
        json!({"metadata": {"namespace": "a", "name": "p", "uid": "pod-1"},
               "spec": {"serviceAccountName": "bot", "nodeName": "n"}}),
    );
    objects.put("", "nodes", json!({"metadata": {"name": "n", "uid": "node-1"}}));
    Fixture {
        requests: Requests::new(issuer.clone(), shared.clone(), clock.clone(), Random::seeded(1)),
        verifier: Verifier::new(issuer.clone(), shared, clock.clone()),
        objects,
        clock,
        issuer,
    }
}

const BOUND: &str = r#"{"spec": {"expirationSeconds": 3607, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "pod-1"}}}"#;

impl Fixture {
    async fn token(&self, request: &str) -> Result<Value, String> {
        let request = serde_json::from_str(request).unwrap();
        self.requests.create("a", "bot", request).await.map_err(|error| error.to_string())
    }

    async fn identify(&self, token: &str) -> String {
        match self.verifier.verify(token, &self.issuer.audiences).await {
            Ok(None) => "not ours".to_owned(),
            Ok(Some((user, _))) => serde_json::to_string(&user).unwrap(),
            Err(error) => error_chain(&error),
        }
    }
}

async fn check_refused(request: &str, expected: Expect) {
    expected.assert_eq(&fixture().token(request).await.unwrap_err());
}

#[tokio::test]
async fn a_pods_token_names_pod_and_node_and_dies_with_the_pod() {
    let fixture = fixture();
    let answer = fixture.token(BOUND).await.unwrap();
    assert_eq!(fields::text(&answer, "/status/expirationTimestamp"), "2026-01-01T01:00:07Z");
    let token = fields::text(&answer, "/status/token");
    expect![[r#"{"username":"system:serviceaccount:a:bot","uid":"sa-1","groups":["system:serviceaccounts","system:serviceaccounts:a","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["JTI=611830d3-641a-48f9-8a69-0dcc25d1f4b0"],"authentication.kubernetes.io/node-name":["n"],"authentication.kubernetes.io/node-uid":["node-1"],"authentication.kubernetes.io/pod-name":["p"],"authentication.kubernetes.io/pod-uid":["pod-1"]}}"#]]
        .assert_eq(&fixture.identify(token).await);
    // The hour is over and the token still serves: it was extended.
    fixture.clock.advance(Duration::from_secs(7200));
    assert!(fixture.identify(token).await.starts_with('{'));
    fixture.objects.delete("", "pods", "a", "p");
    expect!["the pod that the token is bound to is gone or another"]
        .assert_eq(&fixture.identify(token).await);
}

#[tokio::test]
async fn a_token_ends_with_its_time_its_account_and_its_key() {
    let fixture = fixture();
    let answer = fixture.token("{}").await.unwrap();
    let token = fields::text(&answer, "/status/token");
    let (message, _) = token.rsplit_once('.').unwrap();
    expect!["no key verifies the signature"].assert_eq(&fixture.identify(&format!("{message}.AAAA")).await);
    expect!["not ours"].assert_eq(&fixture.identify("a.b.c").await);
    fixture.objects.put(
        "",
        "serviceaccounts",
        json!({"metadata": {"namespace": "a", "name": "bot", "uid": "sa-2"}}),
    );
    expect!["the service account is gone or another"].assert_eq(&fixture.identify(token).await);
    fixture.clock.advance(Duration::from_secs(3661));
    expect!["the token has expired"].assert_eq(&fixture.identify(token).await);
}

#[tokio::test]
async fn other_audiences_are_refused() {
    let fixture = fixture();
    let answer = fixture.token(r#"{"spec": {"audiences": ["vault"]}}"#).await.unwrap();
    let token = fields::text(&answer, "/status/token");
    expect!["the token is for other audiences"].assert_eq(&fixture.identify(token).await);
    let vault = ["vault".to_owned()];
    assert!(fixture.verifier.verify(token, &vault).await.unwrap().is_some());
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    check_refused(
        r#"{"spec": {"expirationSeconds": 5}}"#,
        expect![[r#"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"#]],
    )
    .await;
    check_refused(
        r#"{"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}}"#,
        expect![[r#"pods "none" not found"#]],
    )
    .await;
    check_refused(
        r#"{"spec": {"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "d"}}}"#,
        expect!["cannot bind token to object of type apps/v1, Kind=Deployment"],
    )
    .await;
    check_refused(
        r#"{"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "x"}}}"#,
        expect![[r#"Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated"#]],
    )
    .await;
}
