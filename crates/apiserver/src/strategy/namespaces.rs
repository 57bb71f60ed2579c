//! Namespaces: labeled with their name, held by the `kubernetes` finalizer until they are empty.
//!
//! Upstream: pkg/registry/core/namespace/strategy.go.

use serde_json::{Value, json};

use super::{Strategy, Writer};

pub(super) struct Namespaces;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Strategy for Namespaces {
    fn resource(&self) -> (&'static str, &'static str) {
        ("", "namespaces")
    }

    fn prepare_create(&self, namespace: &mut Value, _writer: Writer<'_>) {
        namespace["status"] = json!({"phase": "Active"});
        namespace["spec"] = json!({"finalizers": ["kubernetes"]});
        label(namespace);
    }

    fn prepare_update(&self, namespace: &mut Value, old: &Value) {
        namespace["spec"] = old["spec"].clone();
        label(namespace);
    }

    fn prepare_subresource(&self, subresource: &str, namespace: &mut Value, old: &Value) -> bool {
        if subresource != "finalize" {
            return false;
        }
        namespace["status"] = old["status"].clone();
        true
    }
}

fn label(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    if !namespace["metadata"]["labels"].is_object() {
        namespace["metadata"]["labels"] = json!({});
    }
    namespace["metadata"]["labels"][NAME_LABEL] = name;
}
