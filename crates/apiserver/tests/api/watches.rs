//! WATCH: order, edges, bookmarks, the end. PITFALLS 3, 4.

use apiserver::testing::TestServer;
use serde_json::{Value, json};

use super::{MAPS, config_map, create_map, expect_code, revision};

#[tokio::test]
async fn a_watch_starts_after_its_revision_and_misses_nothing() {
    let server = TestServer::start().await;
    let a = create_map(&server, "a", "1").await;
    let b = create_map(&server, "b", "1").await;
    let mut watch = server.watch(&format!("{MAPS}?watch=1&resourceVersion={a}")).await;
    assert_eq!(watch.next_line().await, format!("ADDED b {b}"));
    let changed = json!({"metadata": {"labels": {"l": "2"}}});
    let patched = patch(&server, "b", &changed).await;
    assert_eq!(watch.next_line().await, format!("MODIFIED b {}", revision(&patched)));
    expect_code(&server.send("DELETE", &format!("{MAPS}/a"), &Value::Null).await, 200);
    let deleted = watch.next().await.expect("an event");
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["data"]["k"], "v", "the last state");
    assert_eq!(revision(&deleted["object"]), revision(&patched) + 1, "under the deletion's revision");
}

#[tokio::test]
async fn entering_a_selector_is_added_and_leaving_it_deleted() {
    let server = TestServer::start().await;
    let start = create_map(&server, "a", "out").await;
    let mut watch =
        server.watch(&format!("{MAPS}?watch=1&labelSelector=l%3Din&resourceVersion={start}")).await;
    for (label, event) in [("in", "ADDED"), ("in", "MODIFIED"), ("out", "DELETED"), ("in", "ADDED")] {
        let body = json!({"metadata": {"labels": {"l": label}}, "data": {"at": start.to_string() + event}});
        let at = revision(&patch(&server, "a", &body).await);
        assert_eq!(watch.next_line().await, format!("{event} a {at}"));
    }
}

#[tokio::test]
async fn what_is_there_comes_first_unless_a_revision_is_given() {
    let server = TestServer::start().await;
    create_map(&server, "a", "1").await;
    for query in ["", "&resourceVersion=0"] {
        let mut watch = server.watch(&format!("{MAPS}?watch=1{query}&fieldSelector=metadata.name%3Da")).await;
        assert!(watch.next_line().await.starts_with("ADDED a"), "{query}");
    }
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = server.watch(&format!("{MAPS}?watch=1&{query}")).await;
    assert!(watch.next_line().await.starts_with("ADDED a"));
    let bookmark = watch.next().await.expect("an event");
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_start_too_old_is_an_error_event_in_a_stream_that_began_well() {
    let first = TestServer::start().await;
    create_map(&first, "a", "1").await;
    // A server knows no history from before its start.
    let server = TestServer::on(first.store.clone(), first.clock.clone(), |_| {}).await;
    let mut watch = server.watch(&format!("{MAPS}?watch=1&resourceVersion=1")).await;
    let line = watch.next_line().await;
    assert!(line.starts_with("ERROR 410 too old resource version: 1 ("), "{line}");
    assert_eq!(watch.next_line().await, "END");
}

#[tokio::test]
async fn a_watch_ends_in_time_with_a_bookmark_if_wanted() {
    let server = TestServer::start().await;
    let at = create_map(&server, "a", "1").await;
    let other =
        server.send("POST", "/api/v1/namespaces/default/secrets", &json!({"metadata": {"name": "s"}})).await;
    let now = revision(&expect_code(&other, 201));
    let path = format!("{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={at}");
    let mut silent = server.watch(&path).await;
    assert_eq!(silent.next_line().await, "END");
    let mut watch = server.watch(&format!("{path}&allowWatchBookmarks=true")).await;
    assert_eq!(watch.next_line().await, format!("BOOKMARK - {now}"));
    assert_eq!(watch.next_line().await, "END");
}

async fn patch(server: &TestServer, name: &str, body: &Value) -> Value {
    let headers = [("content-type", "application/merge-patch+json")];
    let bytes = body.to_string().into_bytes();
    expect_code(&server.send_bytes("PATCH", &format!("{MAPS}/{name}"), &headers, bytes).await, 200)
}

#[tokio::test]
async fn writes_that_change_nothing_are_not_told() {
    let server = TestServer::start().await;
    let at = create_map(&server, "a", "1").await;
    let mut watch = server.watch(&format!("{MAPS}?watch=1&resourceVersion={at}")).await;
    let same = expect_code(&server.send("PUT", &format!("{MAPS}/a"), &config_map("a", "1")).await, 200);
    assert_eq!(revision(&same), at);
    let b = create_map(&server, "b", "1").await;
    assert_eq!(watch.next_line().await, format!("ADDED b {b}"));
}
