//! POST, PUT, PATCH: locks, status, generation, names. PITFALLS 6, 7, 8, 22.

use apiserver::testing::TestServer;
use expect_test::expect;
use serde_json::{Value, json};

use super::{MAPS, config_map, create_map, deployment, expect_code, names, revision};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

#[tokio::test]
async fn the_optimistic_lock() {
    let server = TestServer::start().await;
    create_map(&server, "a", "1").await;
    let mut stale = expect_code(&server.get(&format!("{MAPS}/a")).await, 200);
    expect_code(&server.send("PUT", &format!("{MAPS}/a"), &config_map("a", "2")).await, 200);
    stale["data"]["k"] = json!("mine");
    expect![[r#"409 Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#]]
        .assert_eq(&server.send("PUT", &format!("{MAPS}/a"), &stale).await.summary());
    let mut other = config_map("a", "1");
    other["metadata"]["uid"] = json!("x");
    let answer = server.send("PUT", &format!("{MAPS}/a"), &other).await;
    assert!(answer.summary().starts_with(
        r#"409 Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: x, UID in object meta: "#
    ));
    let lease = json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "l"}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    expect_code(&server.send("PUT", &format!("{leases}/l"), &lease).await, 201);
    expect![[r#"422 Lease.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"#]]
        .assert_eq(&server.send("PUT", &format!("{leases}/l"), &lease).await.summary());
    expect![[r#"404 configmaps "none" not found"#]]
        .assert_eq(&server.send("PUT", &format!("{MAPS}/none"), &config_map("none", "1")).await.summary());
}

#[tokio::test]
async fn spec_and_status_are_written_apart_and_generation_counts_the_spec() {
    let server = TestServer::start().await;
    let mut object = deployment("web");
    object["status"] = json!({"replicas": 7});
    object["metadata"]["generation"] = json!(40);
    let created = expect_code(&server.send("POST", DEPLOYMENTS, &object).await, 201);
    assert_eq!((&created["metadata"]["generation"], &created["status"]), (&json!(1), &json!({})));

    let path = format!("{DEPLOYMENTS}/web");
    let mut changed = created.clone();
    changed["status"]["replicas"] = json!(3);
    changed["spec"]["replicas"] = json!(5);
    let status = expect_code(&server.send("PUT", &format!("{path}/status"), &changed).await, 200);
    assert_eq!(
        (&status["spec"]["replicas"], &status["status"]["replicas"], &status["metadata"]["generation"]),
        (&json!(1), &json!(3), &json!(1))
    );
    changed["metadata"]["resourceVersion"] = status["metadata"]["resourceVersion"].clone();
    changed["status"]["replicas"] = json!(9);
    let main = expect_code(&server.send("PUT", &path, &changed).await, 200);
    assert_eq!(
        (&main["spec"]["replicas"], &main["status"]["replicas"], &main["metadata"]["generation"]),
        (&json!(5), &json!(3), &json!(2))
    );
    let mut same = main.clone();
    let container = &mut same["spec"]["template"]["spec"]["containers"][0];
    container.as_object_mut().expect("a container").remove("resources");
    let same = expect_code(&server.send("PUT", &path, &same).await, 200);
    assert_eq!(same["metadata"]["generation"], 2, "empty and absent are the same");
}

#[tokio::test]
async fn scale_changes_replicas_only() {
    let server = TestServer::start().await;
    expect_code(&server.send("POST", DEPLOYMENTS, &deployment("web")).await, 201);
    let path = format!("{DEPLOYMENTS}/web/scale");
    let mut scale = expect_code(&server.get(&path).await, 200);
    assert_eq!((&scale["kind"], &scale["status"]["selector"]), (&json!("Scale"), &json!("app=web")));
    scale["spec"]["replicas"] = json!(4);
    let scaled = expect_code(&server.send("PUT", &path, &scale).await, 200);
    assert_eq!(scaled["spec"]["replicas"], 4);
    assert_eq!(server.send("PUT", &path, &scale).await.code, 409, "the Scale's lock is the object's");
    scale["metadata"]["resourceVersion"] = Value::Null;
    scale["spec"]["replicas"] = json!(-1);
    expect![[r#"422 Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#]]
        .assert_eq(&server.send("PUT", &path, &scale).await.summary());
}

#[tokio::test]
async fn names_are_generated_and_places_are_checked() {
    let server = TestServer::start().await;
    let generated = json!({"metadata": {"generateName": "x-"}});
    let made = expect_code(&server.send("POST", MAPS, &generated).await, 201);
    let name = made["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
    let cases = [
        (MAPS, json!({"metadata": {"name": "a", "namespace": "other"}})),
        (MAPS, json!({"metadata": {}})),
        (MAPS, json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}})),
        ("/api/v1/namespaces/none/configmaps", json!({"metadata": {"name": "a"}})),
    ];
    let mut told = String::new();
    for (path, object) in cases {
        told += &format!("{}\n", server.send("POST", path, &object).await.summary());
    }
    told += &format!("{}\n", server.send("PUT", &format!("{MAPS}/b"), &config_map("a", "1")).await.summary());
    expect![[r#"
        400 the namespace of the provided object does not match the namespace sent on the request
        422 ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required
        400 Secret in version "v1" cannot be handled as a ConfigMap: no kind "Secret" is registered for this resource
        404 namespaces "none" not found
        400 the name of the object (a) does not match the name on the URL (b)
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn dry_runs_leave_nothing() {
    let server = TestServer::start().await;
    let before = expect_code(&server.get(MAPS).await, 200);
    let answer = server.send("POST", &format!("{MAPS}?dryRun=All"), &config_map("a", "1")).await;
    assert!(expect_code(&answer, 201)["metadata"]["uid"].is_string());
    let service = json!({
        "metadata": {"name": "s"}, "spec": {"clusterIP": "10.96.5.5", "ports": [{"port": 80}]},
    });
    let services = "/api/v1/namespaces/default/services";
    for _ in 0..2 {
        expect_code(&server.send("POST", &format!("{services}?dryRun=All"), &service).await, 201);
    }
    let after = expect_code(&server.get(MAPS).await, 200);
    assert_eq!(revision(&before), revision(&after));
    expect_code(&server.send("POST", services, &service).await, 201);
    create_map(&server, "b", "1").await;
    let delete = server.send("DELETE", &format!("{MAPS}/b?dryRun=All"), &Value::Null).await;
    assert_eq!(expect_code(&delete, 200)["status"], "Success");
    assert_eq!(names(&expect_code(&server.get(MAPS).await, 200)), ["b"]);
}

#[tokio::test]
async fn patches() {
    let server = TestServer::start().await;
    expect_code(&server.send("POST", DEPLOYMENTS, &deployment("web")).await, 201);
    let path = format!("{DEPLOYMENTS}/web");
    let cases = [
        (
            "application/strategic-merge-patch+json",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i:2"}]}}}}"#,
        ),
        ("application/merge-patch+json", r#"{"spec":{"replicas":3}}"#),
        ("application/json-patch+json", r#"[{"op":"replace","path":"/spec/replicas","value":4}]"#),
        ("application/json-patch+json", r#"[{"op":"test","path":"/spec/replicas","value":9}]"#),
        ("application/json-patch+json", r#"{"#),
        ("application/merge-patch+json", r#"{"metadata":{"resourceVersion":"1"}}"#),
        ("application/merge-patch+json", r#"{"spec":{"replicas":-1}}"#),
        ("text/plain", "x"),
    ];
    let mut told = String::new();
    for (kind, patch) in cases {
        let answer = server.send_bytes("PATCH", &path, &[("content-type", kind)], patch.into()).await;
        let value = answer.value();
        let image = &value["spec"]["template"]["spec"]["containers"][0]["image"];
        told += &format!("{} {} {image}\n", answer.summary(), value["spec"]["replicas"]);
    }
    expect![[r#"
        200 1 "i:2"
        200 3 "i:2"
        200 4 "i:2"
        422 the server rejected our request due to an error in our request null null
        400 error decoding patch: invalid type: map, expected a sequence at line 1 column 0 null null
        409 Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes to the latest version and try again null null
        422 Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0 null null
        415 the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml null null
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn subresources_change_only_their_part() {
    let server = TestServer::start().await;
    let pod = super::create_pod(&server, "p", json!({})).await;
    let path = "/api/v1/namespaces/default/pods/p";
    let mut asked = pod.clone();
    asked["spec"]["ephemeralContainers"] =
        json!([{"name": "debug", "image": "d:1", "terminationMessagePolicy": "File"}]);
    asked["spec"]["containers"][0]["image"] = json!("other:1");
    let got = expect_code(&server.send("PUT", &format!("{path}/ephemeralcontainers"), &asked).await, 200);
    assert_eq!(got["spec"]["ephemeralContainers"][0]["image"], "d:1");
    assert_eq!(got["spec"]["containers"][0]["image"], "i:1");
    let token = json!({"spec": {"expirationSeconds": 3600}});
    let made = server.send("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", &token).await;
    assert!(expect_code(&made, 201)["status"]["token"].is_string());
    assert_eq!(server.send("POST", &format!("{path}/nothing"), &json!({})).await.code, 404);
    assert_eq!(server.send("DELETE", &format!("{path}/status"), &Value::Null).await.code, 405);
}
