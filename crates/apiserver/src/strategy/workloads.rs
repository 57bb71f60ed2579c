//! Deployments: a status write changes no label.
//!
//! Upstream: pkg/registry/apps/deployment/strategy.go.

use serde_json::Value;

use super::Strategy;
use crate::object;

pub(super) struct Deployments;

impl Strategy for Deployments {
    fn resource(&self) -> (&'static str, &'static str) {
        ("apps", "deployments")
    }

    fn prepare_status(&self, deployment: &mut Value, old: &Value) {
        object::carry_over(&mut deployment["metadata"], &old["metadata"], &["labels"]);
    }
}
