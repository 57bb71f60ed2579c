//! What answers look like: errors, tables, metadata only, protobuf, YAML. PITFALLS 12, 15, 18.

use apiserver::testing::TestServer;
use expect_test::expect;
use serde_json::{Value, json};

use super::{MAPS, create_map, create_pod, expect_code};

async fn accepting(server: &TestServer, path: &str, accept: &str) -> apiserver::testing::Answer {
    server.send_bytes("GET", path, &[("accept", accept)], Vec::new()).await
}

#[tokio::test]
async fn an_error_is_a_status() {
    let server = TestServer::start().await;
    expect![[r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps \"x\" not found","reason":"NotFound","details":{"name":"x","kind":"configmaps"},"code":404}"#]]
        .assert_eq(&server.get(&format!("{MAPS}/x")).await.text());
    expect![[r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#]]
        .assert_eq(&server.get("/apis/none/v1/things").await.text());
    assert_eq!(server.send("POST", "/api/v1/namespaces/default/configmaps/x", &json!({})).await.code, 405);
    assert_eq!(accepting(&server, MAPS, "application/cbor").await.code, 406);
}

#[tokio::test]
async fn tables_and_their_fallback() {
    let server = TestServer::start().await;
    create_map(&server, "a", "1").await;
    let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
    let table = expect_code(&accepting(&server, MAPS, kubectl).await, 200);
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = accepting(&server, &format!("{MAPS}?includeObject=Object"), kubectl).await;
    assert_eq!(expect_code(&whole, 200)["rows"][0]["object"]["data"]["k"], "v");
    let unknown =
        accepting(&server, MAPS, "application/json;as=Chart;v=v1;g=meta.k8s.io,application/json").await;
    assert_eq!(expect_code(&unknown, 200)["kind"], "ConfigMapList");
    let only = accepting(&server, MAPS, "application/json;as=Chart;v=v1;g=meta.k8s.io").await;
    assert_eq!(only.code, 406);
}

#[tokio::test]
async fn metadata_only() {
    let server = TestServer::start().await;
    create_map(&server, "a", "1").await;
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = expect_code(&accepting(&server, MAPS, accept).await, 200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
    assert_eq!(list["items"][0]["data"], Value::Null);
    let one = accepting(
        &server,
        &format!("{MAPS}/a"),
        "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    )
    .await;
    assert_eq!(expect_code(&one, 200)["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn protobuf_says_the_same_as_json() {
    let server = TestServer::start().await;
    create_pod(&server, "p", json!({"metadata": {"labels": {"a": "b"}}})).await;
    let path = "/api/v1/namespaces/default/pods/p";
    let plain = server.get(path).await;
    expect_code(&plain, 200);
    let answer = accepting(&server, path, "application/vnd.kubernetes.protobuf").await;
    assert_eq!(answer.header("content-type"), "application/vnd.kubernetes.protobuf");
    let pod = api::Schema::builtin().kind("", "v1", "Pod").expect("described");
    let decoded = api::decode_protobuf(pod, &answer.bytes).expect("decodes");
    assert_eq!(String::from_utf8(api::encode_json(pod, &decoded)).expect("text"), plain.text());

    let list =
        accepting(&server, "/api/v1/namespaces/default/pods", "application/vnd.kubernetes.protobuf").await;
    assert_eq!(api::protobuf_kind(&list.bytes).expect("an envelope"), ("v1", "PodList"));
    let item = api::codec::protobuf_raw(&answer.bytes).expect("an envelope");
    let raw = api::codec::protobuf_raw(&list.bytes).expect("an envelope");
    assert!(raw.ends_with(item), "the list ends with its one item");
}

#[tokio::test]
async fn yaml_in_and_out() {
    let server = TestServer::start().await;
    let yaml = "metadata: {name: y}\ndata:\n  a: b\n";
    let headers = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let made = server.send_bytes("POST", MAPS, &headers, yaml.into()).await;
    assert_eq!((made.code, made.header("content-type")), (201, "application/yaml"));
    assert!(made.text().starts_with("apiVersion: v1\ndata:\n  a: b\nkind: ConfigMap\n"), "{}", made.text());
}

#[tokio::test]
async fn events_have_two_faces() {
    let server = TestServer::start().await;
    let event = json!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Started", "message": "said", "type": "Normal", "count": 2,
    });
    expect_code(&server.send("POST", "/api/v1/namespaces/default/events", &event).await, 201);
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let list = expect_code(&server.get(path).await, 200);
    assert_eq!(
        (&list["apiVersion"], &list["items"][0]["note"]),
        (&json!("events.k8s.io/v1"), &json!("said"))
    );
    assert_eq!(list["items"][0]["deprecatedCount"], 2);
    let one = expect_code(&server.get(&format!("{path}/e")).await, 200);
    assert_eq!((&one["apiVersion"], &one["regarding"]["name"]), (&json!("events.k8s.io/v1"), &json!("p")));
}
