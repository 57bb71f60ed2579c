//! DELETE: finalizers, grace, propagation, collections. PITFALLS 6, 8, 9.

use apiserver::testing::TestServer;
use expect_test::expect;
use serde_json::{Value, json};

use super::{MAPS, create_map, create_pod, deployment, expect_code, names};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn an_object_with_finalizers_waits_for_them() {
    let server = TestServer::start().await;
    let mut map = super::config_map("a", "1");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    expect_code(&server.send("POST", MAPS, &map).await, 201);
    let path = format!("{MAPS}/a");
    let marked = expect_code(&server.send("DELETE", &path, &Value::Null).await, 200);
    assert_eq!(marked["kind"], "ConfigMap");
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let again = expect_code(&server.send("DELETE", &path, &Value::Null).await, 200);
    assert_eq!(again["metadata"]["resourceVersion"], marked["metadata"]["resourceVersion"]);
    let mut more = marked.clone();
    more["metadata"]["finalizers"] = json!(["example.com/hold", "example.com/new"]);
    expect![[r#"422 ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/new"}"#]]
        .assert_eq(&server.send("PUT", &path, &more).await.summary());
    let mut none = marked.clone();
    none["metadata"]["finalizers"] = json!([]);
    expect_code(&server.send("PUT", &path, &none).await, 200);
    assert_eq!(server.get(&path).await.summary(), r#"404 configmaps "a" not found"#);
}

#[tokio::test]
async fn preconditions() {
    let server = TestServer::start().await;
    create_map(&server, "a", "1").await;
    let path = format!("{MAPS}/a");
    let uid = server.send("DELETE", &path, &json!({"preconditions": {"uid": "x"}})).await.summary();
    assert!(uid.starts_with(r#"409 Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: x, UID in object meta: "#), "{uid}");
    let version =
        server.send("DELETE", &path, &json!({"preconditions": {"resourceVersion": "1"}})).await.summary();
    assert!(version.contains(
        "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: "
    ));
    let both = json!({"propagationPolicy": "Orphan", "orphanDependents": true});
    expect![[r#"422 DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set"#]]
        .assert_eq(&server.send("DELETE", &path, &both).await.summary());
    let gone = expect_code(&server.send("DELETE", &path, &Value::Null).await, 200);
    assert_eq!(
        (&gone["kind"], &gone["status"], &gone["details"]["kind"]),
        (&json!("Status"), &json!("Success"), &json!("configmaps"))
    );
}

#[tokio::test]
async fn propagation_is_a_finalizer() {
    let server = TestServer::start().await;
    let all = "/apis/apps/v1/namespaces/default/deployments";
    for (name, policy, finalizer) in [("f", "Foreground", "foregroundDeletion"), ("o", "Orphan", "orphan")] {
        expect_code(&server.send("POST", all, &deployment(name)).await, 201);
        let options = json!({"propagationPolicy": policy});
        let marked = expect_code(&server.send("DELETE", &format!("{all}/{name}"), &options).await, 200);
        assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
        assert_eq!(marked["metadata"]["generation"], 2, "a deletion counts");
    }
    expect_code(&server.send("POST", all, &deployment("b")).await, 201);
    let gone = server.send("DELETE", &format!("{all}/b"), &json!({"propagationPolicy": "Background"})).await;
    assert_eq!(expect_code(&gone, 200)["kind"], "Status");
}

#[tokio::test]
async fn pods_end_gracefully_where_they_run() {
    let server = TestServer::start().await;
    create_pod(&server, "unscheduled", json!({})).await;
    let gone = expect_code(&server.send("DELETE", &format!("{PODS}/unscheduled"), &Value::Null).await, 200);
    assert_eq!(gone["kind"], "Pod", "the object although it is gone");
    assert_eq!(server.get(&format!("{PODS}/unscheduled")).await.code, 404);

    create_pod(&server, "p", json!({"spec": {"terminationGracePeriodSeconds": 7}})).await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    expect_code(&server.send("POST", &format!("{PODS}/p/binding"), &binding).await, 201);
    expect![[
        r#"409 Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n""#
    ]]
    .assert_eq(&server.send("POST", &format!("{PODS}/p/binding"), &binding).await.summary());
    let marked = expect_code(&server.send("DELETE", &format!("{PODS}/p"), &Value::Null).await, 200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 7);
    let longer = server.send("DELETE", &format!("{PODS}/p"), &json!({"gracePeriodSeconds": 60})).await;
    assert_eq!(expect_code(&longer, 200)["metadata"]["deletionGracePeriodSeconds"], 7, "never longer");
    let shorter = server.send("DELETE", &format!("{PODS}/p"), &json!({"gracePeriodSeconds": 2})).await;
    assert_eq!(expect_code(&shorter, 200)["metadata"]["deletionGracePeriodSeconds"], 2);
    expect_code(&server.send("DELETE", &format!("{PODS}/p"), &json!({"gracePeriodSeconds": 0})).await, 200);
    assert_eq!(server.get(&format!("{PODS}/p")).await.code, 404);
}

#[tokio::test]
async fn namespaces_go_when_they_are_finalized() {
    let server = TestServer::start().await;
    let all = "/api/v1/namespaces";
    let made = server.send("POST", all, &json!({"metadata": {"name": "n"}})).await;
    assert_eq!(expect_code(&made, 201)["spec"]["finalizers"], json!(["kubernetes"]));
    let marked = expect_code(&server.send("DELETE", &format!("{all}/n"), &Value::Null).await, 200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    let refused =
        server.send("POST", &format!("{all}/n/configmaps"), &json!({"metadata": {"name": "a"}})).await;
    expect![[r#"403 configmaps "a" is forbidden: unable to create new content in namespace n because it is being terminated"#]]
        .assert_eq(&refused.summary());
    assert_eq!(refused.value()["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut done = marked.clone();
    done["spec"]["finalizers"] = json!([]);
    let last = expect_code(&server.send("PUT", &format!("{all}/n/finalize"), &done).await, 200);
    assert_eq!(last["spec"]["finalizers"], Value::Null);
    assert_eq!(server.get(&format!("{all}/n")).await.code, 404);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let server = TestServer::start().await;
    for (name, label) in [("a", "1"), ("b", "2"), ("c", "1")] {
        create_map(&server, name, label).await;
    }
    let deleted =
        expect_code(&server.send("DELETE", &format!("{MAPS}?labelSelector=l%3D1"), &Value::Null).await, 200);
    assert_eq!((&deleted["kind"], names(&deleted)), (&json!("ConfigMapList"), vec!["a", "c"]));
    assert_eq!(names(&expect_code(&server.get(MAPS).await, 200)), ["b"]);
}

#[tokio::test]
async fn evictions_ask_the_budget() {
    let server = TestServer::start().await;
    create_pod(&server, "p", json!({"metadata": {"labels": {"a": "b"}}})).await;
    // Pods that are not ready would pass the budget by.
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let running = json!({"status": {"phase": "Running", "conditions": ready}}).to_string().into_bytes();
    let headers = [("content-type", "application/merge-patch+json")];
    expect_code(&server.send_bytes("PATCH", &format!("{PODS}/p/status"), &headers, running).await, 200);
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}},
    });
    expect_code(&server.send("POST", budgets, &budget).await, 201);
    let status = |allowed: u32| {
        json!({"status": {
            "observedGeneration": 1, "disruptionsAllowed": allowed,
            "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1,
        }})
        .to_string()
        .into_bytes()
    };
    let report = format!("{budgets}/b/status");
    expect_code(&server.send_bytes("PATCH", &report, &headers, status(0)).await, 200);
    let eviction = json!({"metadata": {"name": "p"}});
    let refused = server.send("POST", &format!("{PODS}/p/eviction"), &eviction).await;
    expect!["429 Cannot evict pod as it would violate the pod's disruption budget."]
        .assert_eq(&refused.summary());
    expect!["The disruption budget b needs 1 healthy pods and has 1 currently"]
        .assert_eq(refused.value()["details"]["causes"][0]["message"].as_str().expect("a cause"));
    expect_code(&server.send_bytes("PATCH", &report, &headers, status(1)).await, 200);
    expect_code(&server.send("POST", &format!("{PODS}/p/eviction"), &eviction).await, 201);
    assert_eq!(server.get(&format!("{PODS}/p")).await.code, 404);
    let spent = expect_code(&server.get(&format!("{budgets}/b")).await, 200);
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
}
