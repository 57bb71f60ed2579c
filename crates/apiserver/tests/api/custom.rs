//! Custom resources: what a definition makes of the server while it runs. PITFALLS 11, 14, 16.

use apiserver::testing::{TestServer, Watch};
use expect_test::expect;
use serde_json::{Value, json};

use super::{expect_code, names};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BOATS: &str = "/apis/sea.test/v1/namespaces/default/boats";

pub(super) fn definition() -> Value {
    let spec = json!({"type": "object", "required": ["flag"], "properties": {
        "flag": {"type": "string", "enum": ["blue", "purple"]},
        "oars": {"type": "integer", "minimum": 0, "maximum": 300, "default": 50},
    }});
    let status = json!({"type": "object", "properties": {"oars": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": status}});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.oars", "statusReplicasPath": ".status.oars"}},
            "additionalPrinterColumns": [{"name": "Oars", "type": "integer", "jsonPath": ".spec.oars"}],
            "selectableFields": [{"jsonPath": ".spec.flag"}],
        })
    };
    json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1",
        "metadata": {"name": "boats.sea.test"},
        "spec": {
            "group": "sea.test", "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "shortNames": ["bo"], "categories": ["fleet"]},
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    })
}

pub(super) fn boat(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "sea.test/v1", "kind": "Boat", "metadata": {"name": name}, "spec": spec})
}

/// Creates a definition and waits, as clients do, until it is established.
pub(super) async fn define(server: &TestServer, definition: &Value) {
    let created = expect_code(&server.send("POST", DEFINITIONS, definition).await, 201);
    let name = created["metadata"]["name"].as_str().expect("a name").to_owned();
    let mut watch: Watch =
        server.watch(&format!("{DEFINITIONS}?watch=1&fieldSelector=metadata.name%3D{name}")).await;
    while let Some(event) = watch.next().await {
        let conditions = event["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True") {
            return;
        }
    }
    panic!("never established");
}

#[tokio::test]
async fn objects_are_served_as_the_definition_says() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let made =
        expect_code(&server.send("POST", BOATS, &boat("dromon", json!({"flag": "purple"}))).await, 201);
    assert_eq!((&made["spec"]["oars"], &made["metadata"]["generation"]), (&json!(50), &json!(1)));
    let refused = |spec: Value| {
        let server = &server;
        async move { server.send("POST", BOATS, &boat("bad", spec)).await.summary() }
    };
    expect![[r#"422 Boat.sea.test "bad" is invalid: spec.flag: Unsupported value: "red": supported values: "blue", "purple""#]]
        .assert_eq(&refused(json!({"flag": "red"})).await);
    expect![[r#"422 Boat.sea.test "bad" is invalid: spec.flag: Required value"#]]
        .assert_eq(&refused(json!({"oars": 2})).await);
    let strict = boat("bad", json!({"flag": "blue", "sail": "big"}));
    expect![[r#"400 Boat in version "v1" cannot be handled as a Boat: strict decoding error: unknown field "spec.sail""#]]
        .assert_eq(&server.send("POST", &format!("{BOATS}?fieldValidation=Strict"), &strict).await.summary());
    let patch = json!({"spec": {"oars": 7}}).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = server.send_bytes("PATCH", &format!("{BOATS}/dromon"), &merge, patch.clone().into()).await;
    let patched = expect_code(&patched, 200);
    assert_eq!((&patched["spec"]["oars"], &patched["metadata"]["generation"]), (&json!(7), &json!(2)));
    let strategic = [("content-type", "application/strategic-merge-patch+json")];
    expect_code(&server.send_bytes("PATCH", &format!("{BOATS}/dromon"), &strategic, patch.into()).await, 415);
    let status = json!({"apiVersion": "sea.test/v1", "kind": "Boat", "metadata": {"name": "dromon", "labels": {"a": "b"}, "resourceVersion": patched["metadata"]["resourceVersion"]}, "status": {"oars": 3}});
    let status = expect_code(&server.send("PUT", &format!("{BOATS}/dromon/status"), &status).await, 200);
    assert_eq!((&status["spec"]["oars"], &status["status"]["oars"]), (&json!(7), &json!(3)));
    assert!(status["metadata"]["labels"].is_null());
    let mut scale = expect_code(&server.get(&format!("{BOATS}/dromon/scale")).await, 200);
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(7), &json!(3)));
    scale["spec"]["replicas"] = json!(4);
    expect_code(&server.send("PUT", &format!("{BOATS}/dromon/scale"), &scale).await, 200);
    let selected = server.get(&format!("{BOATS}?fieldSelector=spec.flag%3Dpurple")).await.value();
    assert_eq!(names(&selected), ["dromon"]);
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = server.send_bytes("GET", BOATS, &table, Vec::new()).await.value();
    assert_eq!(table["rows"][0]["cells"], json!(["dromon", 4]));
}

#[tokio::test]
async fn rules_are_compiled_with_the_definition_and_hold_for_objects() {
    let server = TestServer::start().await;
    let with = |rules: Value| {
        let mut definition = definition();
        let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schema["properties"]["spec"]["x-kubernetes-validations"] = rules;
        definition
    };
    let broken = with(json!([{"rule": "self.sails > 1"}]));
    expect![[r#"
        422 CustomResourceDefinition.apiextensions.k8s.io "boats.sea.test" is invalid: spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: "self.sails > 1": compilation failed: ERROR: <input>:1:5: undefined field 'sails'
         | self.sails > 1
         | ....^"#]]
    .assert_eq(&server.send("POST", DEFINITIONS, &broken).await.summary());
    let rules = json!([
        {"rule": "self.oars % 2 == 0", "message": "oars come in pairs"},
        {"rule": "self.flag == oldSelf.flag", "messageExpression": "'was ' + oldSelf.flag", "reason": "FieldValueForbidden", "fieldPath": ".flag"},
    ]);
    define(&server, &with(rules)).await;
    let odd = server.send("POST", BOATS, &boat("a", json!({"flag": "blue", "oars": 3}))).await;
    expect![[r#"422 Boat.sea.test "a" is invalid: spec: Invalid value: "object": oars come in pairs"#]]
        .assert_eq(&odd.summary());
    let worse = server.send("POST", BOATS, &boat("a", json!({"oars": 3}))).await;
    expect![[r#"422 Boat.sea.test "a" is invalid: [spec.flag: Required value, <nil>: Invalid value: "null": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]"#]]
        .assert_eq(&worse.summary());
    let mut made = expect_code(&server.send("POST", BOATS, &boat("a", json!({"flag": "blue"}))).await, 201);
    made["spec"]["flag"] = json!("purple");
    expect![[r#"422 Boat.sea.test "a" is invalid: spec.flag: Forbidden: was blue"#]]
        .assert_eq(&server.send("PUT", &format!("{BOATS}/a"), &made).await.summary());
}

#[tokio::test]
async fn every_version_shows_the_same_objects() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    expect_code(&server.send("POST", BOATS, &boat("a", json!({"flag": "blue"}))).await, 201);
    let beta = BOATS.replace("v1", "v1beta1");
    let mut old = expect_code(&server.get(&format!("{beta}/a")).await, 200);
    assert_eq!(old["apiVersion"], "sea.test/v1beta1");
    old["spec"]["oars"] = json!(8);
    let written = expect_code(&server.send("PUT", &format!("{beta}/a"), &old).await, 200);
    assert_eq!(written["apiVersion"], "sea.test/v1beta1");
    let list = server.get(BOATS).await.value();
    assert_eq!(
        (&list["items"][0]["apiVersion"], &list["items"][0]["spec"]["oars"]),
        (&json!("sea.test/v1"), &json!(8))
    );
    let mut watch = server.watch(&format!("{beta}?watch=1")).await;
    assert_eq!(watch.next().await.expect("an event")["object"]["apiVersion"], "sea.test/v1beta1");
}

#[tokio::test]
async fn discovery_and_documents_follow() {
    let server = TestServer::start().await;
    assert_eq!(server.get("/apis/sea.test").await.code, 404);
    let before = server.get("/openapi/v3").await.value();
    assert!(before["paths"]["apis/sea.test/v1"].is_null());
    define(&server, &definition()).await;
    let group = server.get("/apis/sea.test").await.value();
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let list = server.get("/apis/sea.test/v1").await.value();
    let resources: Vec<&str> =
        list["resources"].as_array().expect("a list").iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(resources, ["boats", "boats/status", "boats/scale"]);
    assert_eq!(
        (&list["resources"][0]["shortNames"], &list["resources"][0]["categories"]),
        (&json!(["bo"]), &json!(["fleet"]))
    );
    let document = server.get("/openapi/v3/apis/sea.test/v1").await.value();
    let schema = &document["components"]["schemas"]["test.sea.v1.Boat"];
    assert_eq!(schema["properties"]["spec"]["properties"]["oars"]["maximum"], 300);
    let second = server.get("/openapi/v2").await.value();
    assert!(second["definitions"]["test.sea.v1.Boat"].is_object());
    assert!(second["paths"]["/apis/sea.test/v1/namespaces/{namespace}/boats"].is_object());
}

#[tokio::test]
async fn a_definition_goes_after_its_objects() {
    let server = TestServer::start().await;
    define(&server, &definition()).await;
    let mut held = boat("held", json!({"flag": "blue"}));
    held["metadata"]["finalizers"] = json!(["sea.test/hold"]);
    expect_code(&server.send("POST", BOATS, &held).await, 201);
    expect_code(&server.send("POST", BOATS, &boat("free", json!({"flag": "blue"}))).await, 201);
    let mut watch = server.watch(&format!("{DEFINITIONS}?watch=1")).await;
    let mut boats = server.watch(&format!("{BOATS}?watch=1")).await;
    let doomed = expect_code(
        &server.send("DELETE", &format!("{DEFINITIONS}/boats.sea.test"), &Value::Null).await,
        200,
    );
    assert_eq!(doomed["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    // The one that nothing holds goes, the other is marked.
    let mut seen = Vec::new();
    while !seen.iter().any(|line: &String| line.starts_with("MODIFIED held"))
        || !seen.iter().any(|line| line.starts_with("DELETED free"))
    {
        seen.push(boats.next_line().await);
    }
    let more = server.send("POST", BOATS, &boat("late", json!({"flag": "blue"}))).await;
    expect!["405 create not allowed while custom resource definition is terminating"]
        .assert_eq(&more.summary());
    let patch = json!({"metadata": {"finalizers": null}}).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    expect_code(&server.send_bytes("PATCH", &format!("{BOATS}/held"), &merge, patch.into()).await, 200);
    while !watch.next_line().await.starts_with("DELETED boats.sea.test") {}
    assert_eq!(server.get(BOATS).await.code, 404);
    // Watches end, so that clients ask again.
    while !boats.next_line().await.starts_with("ERROR 410") {}
}

#[tokio::test]
async fn definitions_and_objects_survive_a_restart_and_change_while_served() {
    let first = TestServer::start().await;
    define(&first, &definition()).await;
    expect_code(&first.send("POST", BOATS, &boat("a", json!({"flag": "blue"}))).await, 201);
    let second = TestServer::on(first.store.clone(), stdx::Clock::system(), |_| {}).await;
    assert_eq!(names(&second.get(BOATS).await.value()), ["a"]);
    let mut changed = expect_code(&second.get(&format!("{DEFINITIONS}/boats.sea.test")).await, 200);
    let properties = &mut changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    properties["spec"]["properties"]["sail"] = json!({"type": "string", "default": "lateen"});
    let changed =
        expect_code(&second.send("PUT", &format!("{DEFINITIONS}/boats.sea.test"), &changed).await, 200);
    assert_eq!(changed["metadata"]["generation"], 2);
    second.get(DEFINITIONS).await; // waits for the store's feed
    assert_eq!(second.get(&format!("{BOATS}/a")).await.value()["spec"]["sail"], "lateen");
}

#[tokio::test]
async fn what_is_no_definition_is_refused() {
    let server = TestServer::start().await;
    let refused = |change: fn(&mut Value)| {
        let (server, mut object) = (&server, definition());
        change(&mut object);
        async move { server.send("POST", DEFINITIONS, &object).await.summary() }
    };
    expect![[r#"422 CustomResourceDefinition.apiextensions.k8s.io "ships.sea.test" is invalid: metadata.name: Invalid value: "ships.sea.test": must be spec.names.plural+"."+spec.group"#]]
        .assert_eq(&refused(|d| d["metadata"]["name"] = json!("ships.sea.test")).await);
    expect![[r#"422 CustomResourceDefinition.apiextensions.k8s.io "boats.sea.test" is invalid: [spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root, spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.flag": is an invalid path: does not refer to a valid field]"#]]
        .assert_eq(&refused(|d| d["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({})).await);
}
