//! Server-side apply and managedFields over HTTP. PITFALLS 13.

use apiserver::testing::{Answer, TestServer};
use expect_test::expect;
use serde_json::{Value, json};

use super::{MAPS, config_map, deployment, expect_code};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY: [(&str, &str); 2] =
    [("content-type", "application/apply-patch+yaml"), ("user-agent", "kubectl/v1.36")];

async fn apply(server: &TestServer, path: &str, yaml: &str) -> Answer {
    server.send_bytes("PATCH", path, &APPLY, yaml.into()).await
}

/// `manager operation subresource fields`, one a line. By name: their order is that of their times.
fn entries(object: &Value) -> String {
    let told = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
        [text("manager"), text("operation"), text("subresource"), entry["fieldsV1"].to_string()].join(" ")
            + "\n"
    };
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = entries.map(told).collect();
    lines.sort();
    lines.concat()
}

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1', b: '1'}\n";

#[tokio::test]
async fn apply_creates_and_then_changes_nothing() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}/m?fieldManager=one");
    let created = expect_code(&apply(&server, &path, CONFIG).await, 201);
    let again = expect_code(&apply(&server, &path, CONFIG).await, 200);
    assert_eq!(created, again, "no write, no new time");
    expect![[r#"
        one Apply - {"f:data":{"f:a":{},"f:b":{}}}
    "#]]
    .assert_eq(&entries(&again));
    let other = CONFIG.replace("name: m", "name: dry");
    let dry = apply(&server, &format!("{MAPS}/dry?fieldManager=one&dryRun=All"), &other).await;
    expect_code(&dry, 201);
    assert_eq!(server.get(&format!("{MAPS}/dry")).await.code, 404);
}

#[tokio::test]
async fn conflicts_are_told_and_forced() {
    let server = TestServer::start().await;
    expect_code(&apply(&server, &format!("{MAPS}/m?fieldManager=one"), CONFIG).await, 201);
    let changed = CONFIG.replace('1', "2").replace("v2", "v1");
    let path = format!("{MAPS}/m?fieldManager=two");
    let refused = apply(&server, &path, &changed).await;
    expect![[r#"
        {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.a\n- .data.b","reason":"Conflict","details":{"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"one\"","field":".data.a"},{"reason":"FieldManagerConflict","message":"conflict with \"one\"","field":".data.b"}]},"code":409}
    "#]]
    .assert_eq(&format!("{}\n", refused.text().trim_end()));
    expect_code(&apply(&server, &format!("{path}&force=true"), &changed).await, 200);
    let less = changed.replace(", b: '2'", "");
    let after = expect_code(&apply(&server, &path, &less).await, 200);
    assert_eq!(after["data"], json!({"a": "2"}));
}

#[tokio::test]
async fn bad_applies() {
    let server = TestServer::start().await;
    let cases = [
        ("m", CONFIG.to_owned()),
        ("m?fieldManager=one&force=true", "[]".into()),
        ("m?fieldManager=one", CONFIG.replace("kind: ConfigMap", "kind: Secret")),
        ("m?fieldManager=one", CONFIG.replace("kind: ConfigMap", "")),
        ("m?fieldManager=one", format!("{CONFIG}foo: 1\n")),
        ("m?fieldManager=one", CONFIG.replace("name: m", "name: other")),
        ("m?fieldManager=one", CONFIG.replace("name: m", "name: m, managedFields: []")),
        ("m?fieldManager=one", CONFIG.replace("name: m", "name: m, uid: x")),
        ("m?fieldManager=one&fieldValidation=Strict", CONFIG.replace("a: '1'", "a: '1', a: '1'")),
    ];
    let mut told = String::new();
    for (query, body) in cases {
        told += &format!("{}\n", apply(&server, &format!("{MAPS}/{query}"), &body).await.summary());
    }
    let headers = [("content-type", "application/merge-patch+json")];
    let forced = server.send_bytes("PATCH", &format!("{MAPS}/m?force=true"), &headers, b"{}".to_vec()).await;
    told += &format!("{}\n", forced.summary());
    expect![[r#"
        422 PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch
        400 error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}
        400 invalid object type: /v1, Kind=Secret
        400 Object 'Kind' is missing in '{"apiVersion":"v1","data":{"a":"1","b":"1"},"metadata":{"name":"m"}}'
        500 failed to create typed patch object (default/m; /v1, Kind=ConfigMap): .foo: field not declared in schema
        400 the name of the object (other) does not match the name on the URL (m)
        400 metadata.managedFields must be nil
        409 Operation cannot be fulfilled on configmaps "m": uid mismatch: the provided object specified uid x, and no existing object was found
        400 error strict decoding YAML: yaml: unmarshal errors:
          line 4: key "a" already set in map
        422 PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn every_write_records_what_it_changes() {
    let server = TestServer::start().await;
    let agent = [("content-type", "application/json"), ("user-agent", "curl/8 (x)")];
    let body = |value: &Value| value.to_string().into_bytes();
    server.send_bytes("POST", DEPLOYMENTS, &agent, body(&deployment("d"))).await;
    let path = format!("{DEPLOYMENTS}/d");
    let scale = json!({"spec": {"replicas": 3}, "metadata": {"name": "d"}});
    server.send_bytes("PUT", &format!("{path}/scale?fieldManager=s"), &agent, body(&scale)).await;
    let merge = [("content-type", "application/merge-patch+json")];
    let status = r#"{"status":{"replicas":3},"spec":{"replicas":9}}"#;
    server.send_bytes("PATCH", &format!("{path}/status?fieldManager=c"), &merge, status.into()).await;
    let applied = "{apiVersion: autoscaling/v1, kind: Scale, metadata: {name: d}, spec: {replicas: 4}}";
    let refused = apply(&server, &format!("{path}/scale?fieldManager=a"), applied).await;
    expect![[r#"409 Apply failed with 1 conflict: conflict with "s" with subresource "scale" using apps/v1: .spec.replicas"#]]
        .assert_eq(&refused.summary());
    expect_code(&apply(&server, &format!("{path}/scale?fieldManager=a&force=true"), applied).await, 200);
    let after = expect_code(&server.get(&path).await, 200);
    assert_eq!((&after["spec"]["replicas"], &after["status"]["replicas"]), (&json!(4), &json!(3)));
    expect![[r#"
        a Apply scale {"f:spec":{"f:replicas":{}}}
        c Update status {"f:status":{"f:replicas":{}}}
        curl Update - {"f:spec":{"f:progressDeadlineSeconds":{},"f:revisionHistoryLimit":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}}}
    "#]].assert_eq(&entries(&after));
}

#[tokio::test]
async fn the_entries_can_be_reset_and_not_by_accident() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}/m");
    expect_code(&apply(&server, &format!("{path}?fieldManager=one"), CONFIG).await, 201);
    let mut map = config_map("m", "1");
    map["data"] = json!({"a": "1", "b": "1"});
    let put = expect_code(&server.send("PUT", &format!("{path}?fieldManager=two"), &map).await, 200);
    expect![[r#"
        one Apply - {"f:data":{"f:a":{},"f:b":{}}}
        two Update - {"f:metadata":{"f:labels":{".":{},"f:l":{}}}}
    "#]]
    .assert_eq(&entries(&put));
    map["metadata"]["managedFields"] = json!([{}]);
    let put = expect_code(&server.send("PUT", &format!("{path}?fieldManager=two"), &map).await, 200);
    assert_eq!(entries(&put), "");
}

#[tokio::test]
async fn managers_of_another_version_keep_what_they_have() {
    let server = TestServer::start().await;
    let of = |version: &str, spec: &str| {
        format!(
            "{{apiVersion: autoscaling/{version}, kind: HorizontalPodAutoscaler, metadata: {{name: h}}, spec: {{{spec}}}}}"
        )
    };
    let path = |version: &str, manager: &str| {
        format!(
            "/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers/h?fieldManager={manager}"
        )
    };
    let target = "scaleTargetRef: {kind: Deployment, name: d, apiVersion: apps/v1}, maxReplicas: 3";
    let first = of("v1", &format!("{target}, targetCPUUtilizationPercentage: 50"));
    expect_code(&apply(&server, &path("v1", "one"), &first).await, 201);
    let second = apply(&server, &path("v2", "two"), &of("v2", "maxReplicas: 4")).await;
    expect![[r#"409 Apply failed with 1 conflict: conflict with "one": .spec.maxReplicas"#]]
        .assert_eq(&second.summary());
    let forced = format!("{}&force=true", path("v2", "two"));
    let after = expect_code(&apply(&server, &forced, &of("v2", "maxReplicas: 4")).await, 200);
    expect![[r#"
        one Apply - {"f:spec":{"f:scaleTargetRef":{},"f:targetCPUUtilizationPercentage":{}}}
        two Apply - {"f:spec":{"f:maxReplicas":{}}}
    "#]]
    .assert_eq(&entries(&after));
}
