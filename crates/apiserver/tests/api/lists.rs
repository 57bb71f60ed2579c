//! LIST: revisions, pages, the resourceVersion matrix. PITFALLS 1, 2, 5.

use apiserver::testing::TestServer;
use expect_test::expect;
use serde_json::Value;

use super::{MAPS, create_map, expect_code, names, revision};

#[tokio::test]
async fn the_revision_is_the_stores_also_of_an_empty_list() {
    let server = TestServer::start().await;
    let before = create_map(&server, "a", "1").await;
    let empty = expect_code(&server.get("/api/v1/namespaces/default/secrets").await, 200);
    assert!(names(&empty).is_empty());
    assert_eq!(revision(&empty), before);
}

#[tokio::test]
async fn pages_show_one_revision() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        create_map(&server, name, "1").await;
    }
    let first = expect_code(&server.get(&format!("{MAPS}?limit=2")).await, 200);
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    create_map(&server, "bb", "1").await;
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let second = expect_code(&server.get(&format!("{MAPS}?limit=2&continue={token}")).await, 200);
    assert_eq!((names(&second), revision(&second)), (vec!["c", "d"], revision(&first)));
    let token = second["metadata"]["continue"].as_str().expect("a token");
    let last = expect_code(&server.get(&format!("{MAPS}?limit=2&continue={token}")).await, 200);
    assert_eq!(names(&last), ["e"]);
    assert!(last["metadata"]["continue"].is_null() && last["metadata"]["remainingItemCount"].is_null());
}

#[tokio::test]
async fn pages_with_a_selector_count_nothing() {
    let server = TestServer::start().await;
    for (name, label) in [("a", "1"), ("b", "2"), ("c", "1"), ("d", "2"), ("e", "1")] {
        create_map(&server, name, label).await;
    }
    let first = expect_code(&server.get(&format!("{MAPS}?limit=1&labelSelector=l%3D1")).await, 200);
    assert_eq!(names(&first), ["a"]);
    assert!(first["metadata"]["remainingItemCount"].is_null());
    let token = first["metadata"]["continue"].as_str().expect("a token");
    let rest = server.get(&format!("{MAPS}?limit=5&labelSelector=l%3D1&continue={token}")).await;
    assert_eq!(names(&expect_code(&rest, 200)), ["c", "e"]);
}

#[tokio::test]
async fn the_past_can_be_listed_until_it_is_compacted() {
    let server = TestServer::start().await;
    let old = create_map(&server, "a", "1").await;
    let new = create_map(&server, "b", "1").await;
    let exact = format!("{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact");
    let list = expect_code(&server.get(&exact).await, 200);
    assert_eq!((names(&list), revision(&list)), (vec!["a"], old));
    let page = expect_code(&server.get(&format!("{MAPS}?limit=1")).await, 200);
    let last = create_map(&server, "c", "1").await;
    server.store.compact(store::Revision(last)).await.expect("compacts");
    assert_eq!(
        server.get(&exact).await.summary(),
        "410 The resourceVersion for the provided list is too old."
    );
    let token = page["metadata"]["continue"].as_str().expect("a token");
    let gone = server.get(&format!("{MAPS}?limit=5&continue={token}")).await;
    let status: Value = gone.value();
    assert_eq!((gone.code, status["reason"].as_str()), (410, Some("Expired")));
    let fresh = status["metadata"]["continue"].as_str().expect("a fresh token");
    let rest = expect_code(&server.get(&format!("{MAPS}?limit=5&continue={fresh}")).await, 200);
    assert_eq!(names(&rest), ["b", "c"]);
    assert!(new < last);
}

#[tokio::test]
async fn limits_do_not_apply_to_whatever_is_there() {
    let server = TestServer::start().await;
    create_map(&server, "a", "1").await;
    let at = create_map(&server, "b", "1").await;
    let any = server.get(&format!("{MAPS}?resourceVersion=0&limit=1")).await;
    assert!(!names(&expect_code(&any, 200)).is_empty());
    let not_older =
        server.get(&format!("{MAPS}?resourceVersion={at}&resourceVersionMatch=NotOlderThan&limit=1")).await;
    assert_eq!(names(&expect_code(&not_older, 200)), ["a"]);
}

#[tokio::test]
async fn combinations_that_make_no_sense() {
    let server = TestServer::start().await;
    let cases = [
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Nearly",
        "sendInitialEvents=true",
        "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0&resourceVersion=1",
        "labelSelector=a%3D%3D%3Db",
        "fieldSelector=spec.x%3D1",
        "limit=x",
        "continue=%25",
    ];
    let mut told = String::new();
    for query in cases {
        told += &format!("{query}\n  {}\n", server.get(&format!("{MAPS}?{query}")).await.summary());
    }
    expect![[r#"
        resourceVersionMatch=Exact
          422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided
        resourceVersion=0&resourceVersionMatch=Exact
          422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"
        resourceVersion=1&resourceVersionMatch=Nearly
          422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Nearly": supported values: "", "Exact", "NotOlderThan"
        sendInitialEvents=true
          422 ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list
        continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0&resourceVersion=1
          400 specifying resource version is not allowed when using continue
        labelSelector=a%3D%3D%3Db
          400 unable to parse requirement: found '=', expected: identifier
        fieldSelector=spec.x%3D1
          400 "spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"
        limit=x
          400 strconv.ParseInt: parsing "x": invalid syntax
        continue=%25
          400 invalid continue token: continue key is not valid: Invalid symbol 37, offset 0.
    "#]].assert_eq(&told);
}
