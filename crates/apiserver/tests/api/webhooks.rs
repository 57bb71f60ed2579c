//! Admission and conversion webhooks, asked over TLS. PITFALLS 20.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use apiserver::serve::{Handler, serve};
use apiserver::testing::TestServer;
use apiserver::tls::Tls;
use apiserver::{Request, Response, body};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use http_body_util::BodyExt;
use pki::{Authority, Names, Profile};
use serde_json::{Value, json};
use stdx::{Clock, Shutdown, Tasks, Trigger};
use tokio::net::TcpListener;

use super::{MAPS, config_map, expect_code};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// A webhook server: the path says what it answers.
struct Hooks {
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Handler for Hooks {
    async fn handle(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let bytes = request.into_body().collect().await.expect("a body").to_bytes();
        let review: Value = serde_json::from_slice(&bytes).expect("JSON");
        let asked = &review["request"];
        let object = &asked["object"];
        self.asked.lock().expect("not poisoned").push(format!(
            "{path} {} {} {}",
            asked["operation"].as_str().unwrap_or("-"),
            asked["resource"]["resource"].as_str().unwrap_or("-"),
            object["data"]
        ));
        let mut response = json!({"uid": asked["uid"], "allowed": true});
        match path.as_str() {
            "/deny" => {
                response["allowed"] = json!(false);
                response["status"] = json!({"message": "not today", "code": 403, "reason": "Forbidden"});
                response["warnings"] = json!(["told before"]);
            }
            "/silent" => response["allowed"] = json!(false),
            "/nonsense" => response["uid"] = json!("x"),
            "/slow" => std::future::pending::<()>().await,
            "/convert" => return answer(&converted(&review)),
            path => {
                let (name, had) = (path.trim_start_matches("/add-"), object["data"].to_string());
                let patch = json!([{"op": "add", "path": format!("/data/{name}"), "value": had}]);
                let seen = object["data"].get(name).is_some();
                response["patchType"] = json!("JSONPatch");
                let patch = if seen { json!([]) } else { patch };
                response["patch"] = json!(STANDARD.encode(patch.to_string()));
            }
        }
        answer(&json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
    }
}

fn answer(value: &Value) -> Response {
    Response::new(body::full(value.to_string()))
}

fn converted(review: &Value) -> Value {
    let mut objects = review["request"]["objects"].clone();
    for object in objects.as_array_mut().expect("objects") {
        object["apiVersion"] = review["request"]["desiredAPIVersion"].clone();
        object["spec"]["seen"] = json!("yes");
    }
    let response = json!({
        "uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": objects,
    });
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response})
}

/// A running webhook server and whom it is certified by.
struct Running {
    hooks: Arc<Hooks>,
    address: SocketAddr,
    bundle: String,
    _trigger: Trigger,
}

impl Running {
    async fn start() -> Self {
        let clock = Clock::system();
        let ca = Authority::create("hooks", clock.now()).expect("an authority");
        let names = Names::new("n", vec![Ipv4Addr::LOCALHOST.into()]);
        let serving = ca.issue(&Profile::apiserver(&names), clock.now()).expect("a certificate");
        let tls = Tls::new(&serving, ca.certificate(), clock.clone()).expect("a credential");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let ((trigger, shutdown), hooks) = (Shutdown::new(), Arc::new(Hooks { asked: Mutex::default() }));
        Tasks::new().spawn("hooks", serve(listener, tls, hooks.clone(), clock, shutdown));
        let bundle = STANDARD.encode(ca.certificate());
        Self { hooks, address, bundle, _trigger: trigger }
    }

    fn client(&self, path: &str) -> Value {
        json!({"url": format!("https://{}/{path}", self.address), "caBundle": self.bundle})
    }

    /// A webhook that is asked of config maps.
    fn hook(&self, path: &str, more: Value) -> Value {
        let mut hook = json!({
            "name": format!("{path}.hooks.test"), "clientConfig": self.client(path), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["configmaps"]}],
        });
        super::json_merge(&mut hook, &more);
        hook
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.hooks.asked.lock().expect("not poisoned"))
    }
}

async fn configure(server: &TestServer, kind: &str, name: &str, hooks: Vec<Value>) {
    let configuration = json!({"metadata": {"name": name}, "webhooks": hooks});
    expect_code(
        &server.send("POST", &format!("{GROUP}/{kind}webhookconfigurations"), &configuration).await,
        201,
    );
}

#[tokio::test]
async fn mutating_webhooks_are_asked_in_order_and_again_if_they_want() {
    let (server, hooks) = (TestServer::start().await, Running::start().await);
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    configure(&server, "mutating", "b", vec![hooks.hook("add-last", json!({}))]).await;
    configure(
        &server,
        "mutating",
        "a",
        vec![hooks.hook("add-first", again), hooks.hook("add-second", json!({}))],
    )
    .await;
    let made = expect_code(&server.send("POST", MAPS, &config_map("m", "1")).await, 201);
    let keys: Vec<&String> = made["data"].as_object().expect("a map").keys().collect();
    assert_eq!(keys, ["first", "k", "last", "second"]);
    expect![[r#"
        /add-first CREATE configmaps {"k":"v"}
        /add-second CREATE configmaps {"first":"{\"k\":\"v\"}","k":"v"}
        /add-last CREATE configmaps {"first":"{\"k\":\"v\"}","k":"v","second":"{\"first\":\"{\\\"k\\\":\\\"v\\\"}\",\"k\":\"v\"}"}
        /add-first CREATE configmaps {"first":"{\"k\":\"v\"}","k":"v","last":"{\"first\":\"{\\\"k\\\":\\\"v\\\"}\",\"k\":\"v\",\"second\":\"{\\\"first\\\":\\\"{\\\\\\\"k\\\\\\\":\\\\\\\"v\\\\\\\"}\\\",\\\"k\\\":\\\"v\\\"}\"}","second":"{\"first\":\"{\\\"k\\\":\\\"v\\\"}\",\"k\":\"v\"}"}"#]].assert_eq(&hooks.asked().join("\n"));
}

#[tokio::test]
async fn validating_webhooks_refuse() {
    let (server, hooks) = (TestServer::start().await, Running::start().await);
    let none = json!({"clientConfig": {"url": "https://127.0.0.1:1/x"}});
    let cases = [
        ("deny", json!({})),
        ("silent", json!({})),
        ("nonsense", json!({})),
        ("slow", json!({"timeoutSeconds": 1})),
        ("none", none.clone()),
        ("none", json!({"clientConfig": none["clientConfig"], "failurePolicy": "Ignore"})),
        ("deny", json!({"objectSelector": {"matchLabels": {"l": "other"}}})),
        ("deny", json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}})),
        (
            "deny",
            json!({"rules": [{"operations": ["DELETE"], "apiGroups": ["*"], "apiVersions": ["*"],
            "resources": ["*/*"]}]}),
        ),
    ];
    let mut told = String::new();
    for (index, (path, more)) in cases.into_iter().enumerate() {
        let name = format!("c{index}");
        configure(&server, "validating", &name, vec![hooks.hook(path, more)]).await;
        let answer = server.send("POST", &format!("{MAPS}?dryRun=All"), &config_map("m", "1")).await;
        let text = answer.summary().replace(&hooks.address.to_string(), "HOST");
        let text = text.split(" response.uid=").next().unwrap_or(&text);
        told += &format!("{text}\n");
        let path = format!("{GROUP}/validatingwebhookconfigurations/{name}");
        expect_code(&server.send("DELETE", &path, &Value::Null).await, 200);
    }
    let unsafe_hook = hooks.hook("deny", json!({"sideEffects": "Some"}));
    let configuration = json!({"metadata": {"name": "s"}, "webhooks": [unsafe_hook]});
    let path = format!("{GROUP}/validatingwebhookconfigurations");
    told += &format!("{}\n", server.send("POST", &path, &configuration).await.code);
    expect![[r#"
        403 admission webhook "deny.hooks.test" denied the request: not today
        400 admission webhook "silent.hooks.test" denied the request without explanation
        500 Internal error occurred: failed calling webhook "nonsense.hooks.test": received invalid webhook response: expected
        500 Internal error occurred: failed calling webhook "slow.hooks.test": failed to call webhook: Post "https://HOST/slow?timeout=1s": context deadline exceeded
        500 Internal error occurred: failed calling webhook "none.hooks.test": failed to call webhook: Post "https://127.0.0.1:1/x?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused
        201
        201
        201
        201
        422
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn webhooks_see_the_version_that_they_name() {
    let (server, hooks) = (TestServer::start().await, Running::start().await);
    let rules = json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"],
        "resources": ["horizontalpodautoscalers"]}]});
    configure(&server, "validating", "v", vec![hooks.hook("deny", rules)]).await;
    let scaler = json!({"metadata": {"name": "h"}, "spec": {
        "maxReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}});
    let path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    expect![[r#"403 admission webhook "deny.hooks.test" denied the request: not today"#]]
        .assert_eq(&server.send("POST", path, &scaler).await.summary());
    let exempt = json!({"metadata": {"name": "w"}, "webhooks": []});
    let all = json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"],
        "resources": ["*/*"]}]});
    configure(&server, "validating", "x", vec![hooks.hook("deny", all)]).await;
    let path = format!("{GROUP}/mutatingwebhookconfigurations");
    expect_code(&server.send("POST", &path, &exempt).await, 201);
}

#[tokio::test]
async fn custom_objects_are_converted_by_their_webhook() {
    let (server, hooks) = (TestServer::start().await, Running::start().await);
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": {
                "type": "object", "properties": {"seen": {"type": "string"}}}}}}})
    };
    let definition = json!({
        "metadata": {"name": "boats.sea.test"},
        "spec": {
            "group": "sea.test", "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "listKind": "BoatList"},
            "versions": [version("v1", true), version("v2", false)],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"], "clientConfig": hooks.client("convert")}},
        },
    });
    super::custom::define(&server, &definition).await;
    let boat = json!({"apiVersion": "sea.test/v1", "kind": "Boat", "metadata": {"name": "b"}, "spec": {}});
    expect_code(&server.send("POST", "/apis/sea.test/v1/namespaces/default/boats", &boat).await, 201);
    let read = expect_code(&server.get("/apis/sea.test/v2/namespaces/default/boats/b").await, 200);
    assert_eq!((&read["apiVersion"], &read["spec"]["seen"]), (&json!("sea.test/v2"), &json!("yes")));
}
