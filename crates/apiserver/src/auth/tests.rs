//! Identity and permission on a whole server.

use expect_test::{Expect, expect};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{fields, rbac};
use crate::body;
use crate::testing::TestServer;

/// The request as `user`, who is a node or service account by name alone.
async fn check(server: &TestServer, user: &str, request: &str, object: Value, expected: Expect) {
    let (method, path) = request.split_once(' ').unwrap();
    let mut headers = vec![("content-type", "application/json"), ("impersonate-user", user)];
    if user.starts_with("system:node:") {
        headers.push(("impersonate-group", "system:nodes"));
    }
    let bytes = if object.is_null() { Vec::new() } else { object.to_string().into_bytes() };
    let answer = server.send_bytes(method, path, &headers, bytes).await;
    expected.assert_eq(&answer.summary());
}

/// As a client on a socket: whoever the token says.
async fn with_token(server: &TestServer, token: Option<&str>, path: &str) -> String {
    let mut request = http::Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = server.handle.handler().handle(request.body(body::empty()).unwrap()).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let message =
        serde_json::from_slice::<Value>(&bytes).map_or(Value::Null, |value| value["message"].clone());
    format!("{status} {}", message.as_str().unwrap_or_default())
}

async fn create(server: &TestServer, path: &str, object: Value) -> Value {
    let answer = server.send("POST", path, &object).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    answer.value()
}

async fn put_account(server: &TestServer, name: &str) {
    let path = "/api/v1/namespaces/default/serviceaccounts";
    let answer = server.send("POST", path, &json!({"metadata": {"name": name}})).await;
    assert!(matches!(answer.code, 201 | 409), "{}", answer.text());
}

#[tokio::test]
async fn strangers_read_health_and_nothing_else() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert!(with_token(&server, None, path).await.starts_with("200"), "{path}");
    }
    for path in ["/api", "/readyz/ping", "/metrics", "/openapi/v3", "/api/v1/secrets", "/"] {
        assert_eq!(with_token(&server, None, path).await, "401 Unauthorized", "{path}");
    }
    assert_eq!(with_token(&server, Some("a.b.c"), "/version").await, "401 Unauthorized");
}

#[tokio::test]
async fn a_token_lives_as_long_as_its_account() {
    let server = TestServer::start().await;
    put_account(&server, "bot").await;
    let path = "/api/v1/namespaces/default/serviceaccounts/bot";
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
    let answer = create(&server, &format!("{path}/token"), request).await;
    let token = fields::text(&answer, "/status/token");
    expect![[r#"403 pods is forbidden: User "system:serviceaccount:default:bot" cannot list resource "pods" in API group "" at the cluster scope"#]]
        .assert_eq(&with_token(&server, Some(token), "/api/v1/pods").await);
    server.send("DELETE", path, &Value::Null).await;
    assert_eq!(with_token(&server, Some(token), "/api").await, "401 Unauthorized");
}

#[tokio::test]
async fn bindings_take_effect_and_nobody_rises_above_himself() {
    let server = TestServer::start().await;
    let list = "GET /api/v1/namespaces/default/pods";
    let refused = expect![[
        r#"403 pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default""#
    ]];
    check(&server, "bob", list, Value::Null, refused).await;
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let bind = |role: &str| {
        json!({"metadata": {"name": role}, "subjects": [{"apiGroup": rbac::GROUP, "kind": "User", "name": "bob"}],
               "roleRef": {"apiGroup": rbac::GROUP, "kind": "ClusterRole", "name": role}})
    };
    create(&server, bindings, bind("admin")).await;
    // The index follows the store in a task of its own.
    let (mut tries, path) = (0, &list[4..]);
    while server.send_bytes("GET", path, &[("impersonate-user", "bob")], Vec::new()).await.code != 200 {
        tries += 1;
        assert!(tries < 1000, "the binding is not seen");
        tokio::task::yield_now().await;
    }
    let post = format!("POST {bindings}");
    check(&server, "bob", &post, bind("view"), expect!["201"]).await;
    let rises = expect![[r#"
        403 rolebindings.rbac.authorization.k8s.io "cluster-admin" is forbidden: user "bob" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
        {APIGroups:["*"], Resources:["*"], Verbs:["*"]}
        {NonResourceURLs:["*"], Verbs:["*"]}"#]];
    check(&server, "bob", &post, bind("cluster-admin"), rises).await;
}

#[tokio::test]
async fn a_node_reads_what_its_pods_need() {
    let server = TestServer::start().await;
    put_account(&server, "default").await;
    create(&server, "/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await;
    for name in ["mine", "other"] {
        create(&server, "/api/v1/namespaces/default/secrets", json!({"metadata": {"name": name}})).await;
    }
    let get = "GET /api/v1/namespaces/default/secrets";
    let refused = |name: &str| {
        format!(
            "403 secrets \"{name}\" is forbidden: User \"system:node:n1\" cannot get resource \"secrets\" in API group \"\" in the namespace \"default\": no relationship found between node 'n1' and this object"
        )
    };
    let mine = format!("{get}/mine");
    let answer = async |request: String| {
        let (_, path) = request.split_once(' ').unwrap();
        let headers = [("impersonate-user", "system:node:n1"), ("impersonate-group", "system:nodes")];
        server.send_bytes("GET", path, &headers, Vec::new()).await.summary()
    };
    assert_eq!(answer(mine.clone()).await, refused("mine"));
    let spec = json!({
        "nodeName": "n1",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "secret": {"secretName": "mine"}}],
    });
    create(&server, "/api/v1/namespaces/default/pods", json!({"metadata": {"name": "p"}, "spec": spec}))
        .await;
    assert_eq!(answer(mine).await, "200");
    assert_eq!(answer(format!("{get}/other")).await, refused("other"));
    let steal = json!({"metadata": {"name": "n2"}});
    let refused = expect![[r#"403 nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#]];
    check(&server, "system:node:n1", "POST /api/v1/nodes", steal, refused).await;
}

#[tokio::test]
async fn a_second_start_writes_no_roles() {
    let server = TestServer::start().await;
    let before = server.store.revision().await.unwrap();
    rbac::ensure(server.handle.handler().as_ref()).await.unwrap();
    assert_eq!(server.store.revision().await.unwrap(), before);
}
