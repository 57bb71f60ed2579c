//! What people write every day, and what our own components write, must pass: strict decoding, defaults, checks.

use crate::schema::{ResourceRef, Schema, split_api_version};
use crate::{Validation, apply_defaults, decode_yaml, validate_create, validate_update};
use serde_json::{Value, json};

const MANIFESTS: &str = include_str!("manifests.yaml");

/// What the server sets before it checks.
fn prepare(resource: ResourceRef<'_>, object: &mut Value) {
    if resource.namespaced {
        object["metadata"]["namespace"] = json!("default");
    }
    if resource.kind == "Job" {
        let labels = json!({"batch.kubernetes.io/controller-uid": "u"});
        object["metadata"]["labels"] = labels.clone();
        object["spec"]["selector"] = json!({"matchLabels": labels});
        object["spec"]["template"]["metadata"] = json!({"labels": labels});
    }
}

#[test]
fn everyday_objects_pass() {
    let schema = Schema::builtin();
    let mut count = 0;
    for text in MANIFESTS.split("\n---\n") {
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let (kind, (group, version)) = (field("kind:"), split_api_version(field("apiVersion:")));
        let resource = schema
            .resources()
            .iter()
            .find(|resource| resource.kind == kind && resource.group == group && resource.version == version)
            .unwrap_or_else(|| panic!("{kind} in {text}"));
        let resource = ResourceRef { schema, resource };
        let decoded = decode_yaml(resource.object(), text.as_bytes(), Validation::Strict);
        let mut object = decoded.unwrap_or_else(|error| panic!("{kind}: {error}")).value;
        apply_defaults(resource.object(), &mut object);
        prepare(resource, &mut object);
        let errors = validate_create(resource, &object);
        assert!(errors.is_empty(), "{kind}: {errors}");
        let errors = validate_update(resource, &object, &object, None);
        assert!(errors.is_empty(), "{kind}, updated: {errors}");
        let again = {
            let mut again = object.clone();
            apply_defaults(resource.object(), &mut again);
            again
        };
        assert_eq!(again, object, "{kind}: defaults twice");
        count += 1;
    }
    assert!(count >= 30, "{count}");
}
