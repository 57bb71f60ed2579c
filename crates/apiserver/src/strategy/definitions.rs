//! CustomResourceDefinitions: their status begins empty, what was stored in is remembered, and a finalizer holds them
//! until their objects are gone.
//!
//! Upstream: apiextensions-apiserver/pkg/registry/customresourcedefinition.

use api::{FieldErrors, Path};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Strategy, Writer};
use crate::custom::rules::check_definition as check_rules;
use crate::custom::{CLEANUP, DEFINITIONS, is_protected, set_condition};
use crate::object;

pub(super) struct Definitions;

const APPROVAL: &str = "api-approved.kubernetes.io";

impl Strategy for Definitions {
    fn resource(&self) -> (&'static str, &'static str) {
        DEFINITIONS
    }

    fn prepare_create(&self, definition: &mut Value, _writer: Writer<'_>) {
        definition["status"] = json!({
            "conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": [],
        });
        remember_stored(definition);
    }

    fn prepare_update(&self, definition: &mut Value, _old: &Value) {
        remember_stored(definition);
    }

    fn prepare_delete(&self, definition: &mut Value, now: Timestamp) {
        let mut finalizers = object::finalizers(definition);
        if object::is_terminating(definition) || finalizers.iter().any(|name| name == CLEANUP) {
            return;
        }
        finalizers.push(CLEANUP.into());
        object::set_finalizers(definition, finalizers);
        let text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        let at = object::time(now);
        set_condition(&mut definition["status"], "Terminating", true, ("InstanceDeletionPending", text), &at);
    }

    fn validate_create(&self, definition: &Value, errors: &mut FieldErrors) {
        if errors.is_empty() {
            check_rules(definition, errors);
        }
        let group = definition["spec"]["group"].as_str().unwrap_or("");
        let annotation = &definition["metadata"]["annotations"][APPROVAL];
        if is_protected(group) && annotation.as_str().unwrap_or("").is_empty() {
            let (root, why) = (Path::Root, "protected groups must have approval annotation");
            let see = "see https://github.com/kubernetes/enhancements/pull/1111";
            let metadata = root.child("metadata");
            errors.required(
                &metadata.child("annotations").key(APPROVAL),
                format!("{why} \"{APPROVAL}\", {see}"),
            );
        }
    }

    fn validate_update(&self, definition: &Value, old: &Value, errors: &mut FieldErrors) {
        api::custom::check_definition_update(definition, old, errors);
        if errors.is_empty() && definition["spec"] != old["spec"] {
            check_rules(definition, errors);
        }
    }
}

/// `status.storedVersions`: every version that objects may be stored in.
fn remember_stored(definition: &mut Value) {
    let versions = definition["spec"]["versions"].as_array();
    let storage = versions.and_then(|list| list.iter().find(|version| version["storage"] == true));
    let Some(name) = storage.map(|version| version["name"].clone()) else { return };
    if !definition["status"]["storedVersions"].is_array() {
        definition["status"]["storedVersions"] = json!([]);
    }
    if let Some(stored) = definition["status"]["storedVersions"].as_array_mut()
        && !stored.contains(&name)
    {
        stored.push(name);
    }
}
