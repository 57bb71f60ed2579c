//! A custom kind's definition in OpenAPI documents: the definition's own schema, with what every object has.
//!
//! Upstream: apiextensions-apiserver/pkg/controller/openapi/builder.

use serde_json::{Map, Value, json};

use crate::openapi::Form;

const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object. Servers \
    should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources";
const KIND: &str = "Kind is a string value representing the REST resource this object represents. Servers may infer \
    this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

/// The definition; `metadata` is the reference to ObjectMeta in the same document.
pub fn definition(schema: &Value, form: Form, kind: [&str; 3], metadata: Value) -> Value {
    let [group, version, name] = kind;
    let mut definition = converted(schema, form);
    let is_open =
        schema["x-kubernetes-preserve-unknown-fields"] == true && schema.get("properties").is_none();
    if form == Form::V2 && is_open {
        definition = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    let properties = &mut definition["properties"];
    if !properties.is_object() {
        *properties = json!({});
    }
    properties["apiVersion"] = json!({"type": "string", "description": API_VERSION});
    properties["kind"] = json!({"type": "string", "description": KIND});
    properties["metadata"] = metadata;
    definition["x-kubernetes-group-version-kind"] =
        json!([{"group": group, "version": version, "kind": name}]);
    definition
}

/// What the second form of OpenAPI cannot say is left out: clients of it would refuse valid objects.
fn converted(schema: &Value, form: Form) -> Value {
    match (schema, form) {
        (schema, Form::V3) => schema.clone(),
        (Value::Object(fields), Form::V2) => Value::Object(second_form(fields)),
        (other, _) => other.clone(),
    }
}

fn second_form(fields: &Map<String, Value>) -> Map<String, Value> {
    let is = |name: &str| fields.get(name) == Some(&Value::Bool(true));
    let untyped = is("nullable") || is("x-kubernetes-int-or-string");
    let open = is("x-kubernetes-preserve-unknown-fields");
    let mut out = Map::new();
    for (name, value) in fields {
        let value = match name.as_str() {
            "oneOf" | "anyOf" | "allOf" | "not" | "nullable" | "default" => continue,
            "type" | "items" | "properties" | "additionalProperties" | "required" if untyped => continue,
            "properties" | "items" | "required" if open && name != "properties" => continue,
            "properties" => {
                let below = value.as_object().into_iter().flatten();
                let below: Map<String, Value> =
                    below.map(|(name, schema)| (name.clone(), converted(schema, Form::V2))).collect();
                Value::Object(below)
            }
            "items" | "additionalProperties" => converted(value, Form::V2),
            _ => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    out
}
