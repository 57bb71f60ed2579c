//! Nodes: a node reports itself, so its status survives creation.
//!
//! Upstream: pkg/registry/core/node/strategy.go.

use api::FieldErrors;
use serde_json::Value;

use super::Strategy;

pub(super) struct Nodes;

impl Strategy for Nodes {
    fn resource(&self) -> (&'static str, &'static str) {
        ("", "nodes")
    }

    fn validate_update(&self, node: &Value, old: &Value, errors: &mut FieldErrors) {
        let before = old["spec"]["podCIDR"].as_str().unwrap_or("");
        let after = node["spec"]["podCIDR"].as_str().unwrap_or("");
        if !before.is_empty() && before != after {
            errors.forbidden(
                &api::path!["spec", "podCIDR"],
                "node updates may not change podCIDR except from \"\" to valid",
            );
        }
    }
}
