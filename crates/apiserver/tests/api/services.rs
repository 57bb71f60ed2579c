//! Addresses of Services.

use apiserver::testing::TestServer;
use expect_test::expect;
use serde_json::{Value, json};

use super::expect_code;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: Value) -> Value {
    let mut service =
        json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}});
    super::json_merge(&mut service["spec"], &spec);
    service
}

#[tokio::test]
async fn the_cluster_has_its_own_service() {
    let server = TestServer::start().await;
    let own = expect_code(&server.get(&format!("{SERVICES}/kubernetes")).await, 200);
    assert_eq!(own["spec"]["clusterIP"], "10.96.0.1");
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let slice = expect_code(&server.get(slice).await, 200);
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["10.1.1.1"]));
    let endpoints = expect_code(&server.get("/api/v1/namespaces/default/endpoints/kubernetes").await, 200);
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "10.1.1.1");
}

#[tokio::test]
async fn addresses_are_held_once_and_given_back() {
    let server = TestServer::start().await;
    let create = async |name: &str, spec: Value| server.send("POST", SERVICES, &service(name, spec)).await;
    let a = expect_code(
        &create(
            "a",
            json!({"clusterIP": "10.96.9.9", "type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}]}),
        )
        .await,
        201,
    );
    assert_eq!(
        (&a["spec"]["clusterIPs"], &a["spec"]["ipFamilies"]),
        (&json!(["10.96.9.9"]), &json!(["IPv4"]))
    );
    expect![[r#"422 Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.9.9"]: failed to allocate IP 10.96.9.9: provided IP is already allocated"#]]
        .assert_eq(&create("b", json!({"clusterIP": "10.96.9.9"})).await.summary());
    expect![[r#"422 Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30123: provided port is already allocated"#]]
        .assert_eq(&create("b", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}]})).await.summary());
    expect![[r#"422 Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"#]]
        .assert_eq(&create("b", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]})).await.summary());
    expect_code(&server.send("DELETE", &format!("{SERVICES}/a"), &Value::Null).await, 200);
    expect_code(&create("b", json!({"clusterIP": "10.96.9.9"})).await, 201);
}

#[tokio::test]
async fn an_update_keeps_what_it_does_not_mention() {
    let server = TestServer::start().await;
    let made = server.send("POST", SERVICES, &service("a", json!({"type": "NodePort"}))).await;
    let made = expect_code(&made, 201);
    let put = server
        .send(
            "PUT",
            &format!("{SERVICES}/a"),
            &service("a", json!({"type": "NodePort", "sessionAffinity": "ClientIP"})),
        )
        .await;
    let put = expect_code(&put, 200);
    assert_eq!(put["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    assert_eq!(put["spec"]["ports"][0]["nodePort"], made["spec"]["ports"][0]["nodePort"]);
    let headless = server.send("POST", SERVICES, &service("h", json!({"clusterIP": "None"}))).await;
    assert_eq!(expect_code(&headless, 201)["spec"]["clusterIPs"], json!(["None"]));
}
