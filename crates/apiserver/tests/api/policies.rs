//! ValidatingAdmissionPolicy: bindings, parameters, variables, actions. PITFALLS 20.

use apiserver::testing::TestServer;
use expect_test::expect;
use serde_json::{Value, json};

use super::{MAPS, config_map, expect_code};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

fn policy(name: &str, more: &Value) -> Value {
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]);
    let mut spec = json!({"matchConstraints": {"resourceRules": rules}});
    for (field, value) in more.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    json!({"kind": "ValidatingAdmissionPolicy", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}, "spec": spec})
}

async fn bind(server: &TestServer, name: &str, more: &Value) {
    let mut spec = json!({"policyName": name, "validationActions": ["Deny"]});
    for (field, value) in more.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    let binding = json!({"kind": "ValidatingAdmissionPolicyBinding", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}, "spec": spec});
    expect_code(&server.send("POST", BINDINGS, &binding).await, 201);
}

#[tokio::test]
async fn a_policy_denies_and_warns() {
    let server = TestServer::start().await;
    let names = policy(
        "names",
        &json!({
            "variables": [{"name": "short", "expression": "object.metadata.name.size() < 4"}],
            "matchConditions": [{"name": "not-free", "expression": "!object.metadata.name.startsWith('free')"}],
            "validations": [
                {"expression": "!object.metadata.name.startsWith('zz')", "message": "no zz here"},
                {"expression": "variables.short", "messageExpression": "object.metadata.name + ' is too long'", "reason": "Forbidden"},
            ],
        }),
    );
    expect_code(&server.send("POST", POLICIES, &names).await, 201);
    expect_code(&server.send("POST", MAPS, &config_map("zz0", "1")).await, 201);
    bind(&server, "names", &json!({})).await;
    expect![[r#"422 configmaps "zz" is forbidden: ValidatingAdmissionPolicy 'names' with binding 'names' denied request: no zz here"#]]
        .assert_eq(&server.send("POST", MAPS, &config_map("zz", "1")).await.summary());
    expect![[r#"403 configmaps "long-name" is forbidden: ValidatingAdmissionPolicy 'names' with binding 'names' denied request: long-name is too long"#]]
        .assert_eq(&server.send("POST", MAPS, &config_map("long-name", "1")).await.summary());
    expect_code(&server.send("POST", MAPS, &config_map("free-and-long", "1")).await, 201);
    expect_code(&server.send("POST", MAPS, &config_map("ok", "1")).await, 201);
    let mut warns = names.clone();
    warns["metadata"]["name"] = json!("warns");
    warns["spec"]["validations"] = json!([{"expression": "false", "message": "be careful"}]);
    expect_code(&server.send("POST", POLICIES, &warns).await, 201);
    bind(&server, "warns", &json!({"validationActions": ["Warn"]})).await;
    let answer = server.send("POST", MAPS, &config_map("w", "1")).await;
    assert_eq!(answer.code, 201);
    expect![[
        r#"299 - "Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns': be careful""#
    ]]
    .assert_eq(answer.header("warning"));
}

#[tokio::test]
async fn parameters_namespaces_and_the_authorizer_are_there() {
    let server = TestServer::start().await;
    let params = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "limits"}, "data": {"prefix": "ok-"}});
    expect_code(&server.send("POST", MAPS, &params).await, 201);
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [
            {"expression": "object.metadata.name.startsWith(params.data.prefix)", "messageExpression": "'wants ' + params.data.prefix"},
            {"expression": "namespaceObject.metadata.name == 'default' && request.operation == 'CREATE' && oldObject == null"},
            {"expression": "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()"},
            {"expression": "authorizer.requestResource.check('create').allowed()"},
        ],
    });
    expect_code(&server.send("POST", POLICIES, &policy("prefix", &spec)).await, 201);
    bind(
        &server,
        "prefix",
        &json!({"paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}}),
    )
    .await;
    expect_code(&server.send("POST", MAPS, &config_map("ok-a", "1")).await, 201);
    expect![[r#"422 configmaps "a" is forbidden: ValidatingAdmissionPolicy 'prefix' with binding 'prefix' denied request: wants ok-"#]]
        .assert_eq(&server.send("POST", MAPS, &config_map("a", "1")).await.summary());
    expect_code(&server.send("DELETE", &format!("{MAPS}/limits"), &Value::Null).await, 200);
    expect![[r#"422 configmaps "ok-b" is forbidden: ValidatingAdmissionPolicy 'prefix' with binding 'prefix' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"#]]
        .assert_eq(&server.send("POST", MAPS, &config_map("ok-b", "1")).await.summary());
}

#[tokio::test]
async fn what_does_not_compile_is_refused() {
    let server = TestServer::start().await;
    let broken = policy("broken", &json!({"validations": [{"expression": "objct.x == 1"}]}));
    expect![[r#"
        422 ValidatingAdmissionPolicy.admissionregistration.k8s.io "broken" is invalid: spec.validations[0].expression: Invalid value: "objct.x == 1": compilation failed: ERROR: <input>:1:1: undeclared reference to 'objct' (in container '')
         | objct.x == 1
         | ^"#]]
    .assert_eq(&server.send("POST", POLICIES, &broken).await.summary());
}
