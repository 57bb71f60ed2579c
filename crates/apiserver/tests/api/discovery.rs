//! Discovery and the other documents. PITFALLS 16.

use apiserver::testing::TestServer;
use serde_json::json;

use super::expect_code;

#[tokio::test]
async fn groups_versions_and_resources() {
    let server = TestServer::start().await;
    let core = expect_code(&server.get("/api/v1").await, 200);
    let pods =
        core["resources"].as_array().expect("resources").iter().find(|r| r["name"] == "pods").expect("pods");
    assert_eq!(pods["shortNames"], json!(["po"]));
    assert_eq!(pods["storageVersionHash"], "xPOwRZ+Yhw8=");
    let groups = expect_code(&server.get("/apis").await, 200);
    let names: Vec<&str> =
        groups["groups"].as_array().expect("groups").iter().filter_map(|g| g["name"].as_str()).collect();
    assert!(names.contains(&"apps") && !names.contains(&""));
    assert_eq!(expect_code(&server.get("/apis/autoscaling").await, 200)["preferredVersion"]["version"], "v2");
    assert_eq!(server.get("/apis/scheduling.k8s.io/v1alpha2").await.code, 404, "alpha is off");
    assert_eq!(expect_code(&server.get("/version").await, 200)["minor"], "36");
    assert_eq!(server.get("/readyz").await.text(), "ok");
}

#[tokio::test]
async fn aggregated_by_accept_and_unchanged_by_etag() {
    let server = TestServer::start().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let first = server.send_bytes("GET", "/apis", &[("accept", accept)], Vec::new()).await;
    assert_eq!(
        first.header("content-type"),
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let list = expect_code(&first, 200);
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("APIGroupDiscoveryList"), &json!("apidiscovery.k8s.io/v2"))
    );
    let etag = first.header("etag").to_string();
    let headers = [("accept", accept), ("if-none-match", etag.as_str())];
    let second = server.send_bytes("GET", "/apis", &headers, Vec::new()).await;
    assert_eq!((second.code, second.bytes.len()), (304, 0));
}

#[tokio::test]
async fn openapi_is_indexed_by_hash() {
    let server = TestServer::start().await;
    let index = expect_code(&server.get("/openapi/v3").await, 200);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().expect("a URL");
    let document = expect_code(&server.get(url).await, 200);
    assert!(document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"].is_object());
    let zipped = server.send_bytes("GET", url, &[("accept-encoding", "gzip")], Vec::new()).await;
    assert_eq!((zipped.header("content-encoding"), &zipped.bytes[..2]), ("gzip", &[0x1f, 0x8b][..]));
}
