//! Volumes and claims: pending at birth.
//!
//! Upstream: pkg/registry/core/{persistentvolume,persistentvolumeclaim}/strategy.go.

use serde_json::{Value, json};

use super::{Strategy, Writer};

pub(super) struct Volumes;
pub(super) struct Claims;

impl Strategy for Volumes {
    fn resource(&self) -> (&'static str, &'static str) {
        ("", "persistentvolumes")
    }

    fn prepare_create(&self, volume: &mut Value, writer: Writer<'_>) {
        let now = crate::object::time(writer.now);
        volume["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": now});
    }
}

impl Strategy for Claims {
    fn resource(&self) -> (&'static str, &'static str) {
        ("", "persistentvolumeclaims")
    }

    fn prepare_create(&self, claim: &mut Value, _writer: Writer<'_>) {
        claim["status"] = json!({"phase": "Pending"});
    }
}
