//! The API as clients see it, against a whole server in this process.

mod apply;
mod bad_input;
mod custom;
mod deletion;
mod discovery;
mod in_process;
mod lists;
mod policies;
mod quotas;
mod services;
mod shapes;
mod watches;
mod webhooks;
mod writes;

use apiserver::testing::{Answer, TestServer};
use serde_json::{Value, json};

/// A ConfigMap with one label.
fn config_map(name: &str, label: &str) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"l": label}}, "data": {"k": "v"},
    })
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn create_map(server: &TestServer, name: &str, label: &str) -> u64 {
    let answer = server.send("POST", MAPS, &config_map(name, label)).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    revision(&answer.value())
}

/// The resourceVersion of an object or list.
fn revision(value: &Value) -> u64 {
    value["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a resourceVersion")
}

/// The names of a list's items.
fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}

/// A deployment that passes validation.
fn deployment(name: &str) -> Value {
    json!({
        "kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            },
        },
    })
}

/// Creates a pod in `default`, which needs its service account there.
async fn create_pod(server: &TestServer, name: &str, more: Value) -> Value {
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    server.send("POST", "/api/v1/namespaces/default/serviceaccounts", &account).await;
    let mut pod = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]},
    });
    json_merge(&mut pod, &more);
    let answer = server.send("POST", "/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    answer.value()
}

fn json_merge(into: &mut Value, from: &Value) {
    let (Some(fields), Some(more)) = (into.as_object_mut(), from.as_object()) else {
        *into = from.clone();
        return;
    };
    for (key, value) in more {
        json_merge(fields.entry(key.as_str()).or_insert(Value::Null), value);
    }
}

#[track_caller]
fn expect_code(answer: &Answer, code: u16) -> Value {
    assert_eq!(answer.code, code, "{}", answer.text());
    answer.value()
}
