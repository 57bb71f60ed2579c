//! What admission refuses over HTTP: quotas, security levels.

use apiserver::testing::TestServer;
use expect_test::expect;
use serde_json::{Value, json};

use super::{MAPS, config_map, create_pod, expect_code};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

/// A quota whose status says that nothing is used yet, as the controller would.
async fn quota(server: &TestServer, hard: Value) {
    let mut quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    expect_code(&server.send("POST", QUOTAS, &quota).await, 201);
    let none: serde_json::Map<String, Value> =
        hard.as_object().expect("a map").keys().map(|name| (name.clone(), json!("0"))).collect();
    quota["status"] = json!({"hard": hard, "used": none});
    expect_code(&server.send("PUT", &format!("{QUOTAS}/q/status"), &quota).await, 200);
}

async fn used(server: &TestServer) -> String {
    server.get(&format!("{QUOTAS}/q")).await.value()["status"]["used"].to_string()
}

#[tokio::test]
async fn quotas_are_charged_and_enforced() {
    let server = TestServer::start().await;
    quota(&server, json!({"configmaps": "2", "count/secrets": "1"})).await;
    expect_code(&server.send("POST", MAPS, &config_map("a", "1")).await, 201);
    expect_code(&server.send("POST", &format!("{MAPS}?dryRun=All"), &config_map("b", "1")).await, 201);
    assert_eq!(used(&server).await, r#"{"configmaps":"1","count/secrets":"0"}"#);
    expect_code(&server.send("POST", MAPS, &config_map("b", "1")).await, 201);
    let refused = server.send("POST", MAPS, &config_map("c", "1")).await;
    expect![[r#"403 configmaps "c" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2"#]]
        .assert_eq(&refused.summary());
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    expect_code(&server.send("POST", "/api/v1/namespaces/default/services", &service).await, 201);
}

#[tokio::test]
async fn compute_quotas_make_pods_say_what_they_need() {
    let server = TestServer::start().await;
    let asks = |cpu: &str| json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}});
    create_pod(&server, "before", asks("1")).await;
    quota(&server, json!({"requests.cpu": "1"})).await;
    let pods = "/api/v1/namespaces/default/pods";
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    expect![[r#"403 pods "p" is forbidden: failed quota: q: must specify requests.cpu for: c"#]]
        .assert_eq(&server.send("POST", pods, &pod).await.summary());
    pod["spec"] = asks("1500m")["spec"].clone();
    expect![[r#"403 pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=1500m, used: requests.cpu=0, limited: requests.cpu=1"#]]
        .assert_eq(&server.send("POST", pods, &pod).await.summary());
    pod["spec"] = asks("500m")["spec"].clone();
    expect_code(&server.send("POST", pods, &pod).await, 201);
    assert_eq!(used(&server).await, r#"{"requests.cpu":"500m"}"#);
}

#[tokio::test]
async fn namespaces_warn_of_what_they_would_refuse() {
    let server = TestServer::start().await;
    create_pod(&server, "old", json!({})).await;
    let path = "/api/v1/namespaces/default";
    let labels = r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}"#;
    let kind = [("content-type", "application/merge-patch+json")];
    let patched = server.send_bytes("PATCH", path, &kind, labels.into()).await;
    let warnings: Vec<_> =
        patched.headers.get_all("warning").iter().map(|value| value.to_str().expect("text")).collect();
    expect![[r#"
        299 - "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"restricted:latest\""
        299 - "old: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile""#]].assert_eq(&warnings.join("\n"));
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let refused = server.send("POST", "/api/v1/namespaces/default/pods", &pod).await;
    assert!(
        refused
            .summary()
            .starts_with(r#"403 pods "p" is forbidden: violates PodSecurity "restricted:latest": "#),
        "{}",
        refused.summary()
    );
    let answer =
        server.send("POST", "/apis/apps/v1/namespaces/default/deployments", &super::deployment("d")).await;
    assert!(
        answer.header("warning").starts_with(r#"299 - "would violate PodSecurity"#),
        "{:?}",
        answer.headers
    );
    let strange = labels.replace("restricted", "strict");
    expect![[r#"422 Namespace "default" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted"#]].assert_eq(&server.send_bytes("PATCH", path, &kind, strange.into()).await.summary());
}
