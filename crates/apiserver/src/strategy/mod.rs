//! What differs from kind to kind when objects are written, and only that: what the schema says already
//! (defaults, checks, status as a subresource) is not repeated here.
//!
//! [`traits`] are the rules that are a yes or no per resource; a [`Strategy`] has code. All strategies stand in one
//! slice, [`ALL`].
//!
//! Upstream: pkg/registry/GROUP/RESOURCE/strategy.go.

mod certificates;
mod definitions;
mod jobs;
mod namespaces;
mod nodes;
mod pods;
mod policies;
mod secrets;
pub mod traits;
mod volumes;
mod workloads;

use api::FieldErrors;
use api::apply::FieldSet;
use jiff::Timestamp;
use serde_json::Value;

use crate::GroupResource;
use crate::auth::UserInfo;

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    pub user: &'a UserInfo,
    pub now: Timestamp,
}

/// The hooks of one resource. Objects are of the storage version, defaulted.
pub trait Strategy: Send + Sync {
    /// Group and resource.
    fn resource(&self) -> (&'static str, &'static str);

    /// After the status was dropped and the metadata filled in.
    fn prepare_create(&self, _object: &mut Value, _writer: Writer<'_>) {}

    /// After the old status and metadata were carried over.
    fn prepare_update(&self, _object: &mut Value, _old: &Value) {}

    /// A write to `/status`, after everything but the status was carried over from `old`.
    fn prepare_status(&self, _object: &mut Value, _old: &Value) {}

    /// A write to another subresource of the same kind: takes from `object` what it may change, and leaves in it
    /// the rest of `old`. False if the subresource is not known.
    fn prepare_subresource(&self, _subresource: &str, _object: &mut Value, _old: &Value) -> bool {
        false
    }

    /// Before it is decided what a DELETE means for the object: what holds it may be written into it.
    fn prepare_delete(&self, _object: &mut Value, _now: Timestamp) {}

    fn validate_create(&self, _object: &Value, _errors: &mut FieldErrors) {}

    fn validate_update(&self, _object: &Value, _old: &Value, _errors: &mut FieldErrors) {}

    /// For kinds that terminate gracefully: the seconds that `object` has left, given what the client asked for.
    /// None for kinds that are gone at once.
    fn grace_seconds(&self, _object: &Value, _asked: Option<i64>) -> Option<i64> {
        None
    }
}

/// Everything that has rules of its own.
pub static ALL: &[&dyn Strategy] = &[
    &certificates::Requests,
    &definitions::Definitions,
    &jobs::Jobs,
    &namespaces::Namespaces,
    &nodes::Nodes,
    &pods::Pods,
    &policies::ValidatingPolicies,
    &secrets::Secrets,
    &volumes::Volumes,
    &volumes::Claims,
    &workloads::Deployments,
];

/// Fields that a write of `subresource` (empty for the object itself) cannot change, and so does not own.
///
/// Upstream: `GetResetFields` of the strategies.
pub fn reset_fields(resource: &GroupResource, has_status: bool, subresource: &str) -> FieldSet {
    let fields: &[&str] = match (resource.resource.as_str(), subresource) {
        ("pods", "status") => &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ("deployments", "status") => &["spec", "metadata.labels"],
        ("certificatesigningrequests", "approval") => &["spec", "status.certificate"],
        (_, "status") => &["spec"],
        _ if has_status => &["status"],
        _ => &[],
    };
    FieldSet::of_fields(fields)
}

struct Plain;

impl Strategy for Plain {
    fn resource(&self) -> (&'static str, &'static str) {
        ("", "")
    }
}

/// The strategy of a resource; most have none and get one that does nothing.
pub fn of(group: &str, resource: &str) -> &'static dyn Strategy {
    ALL.iter().find(|strategy| strategy.resource() == (group, resource)).copied().unwrap_or(&Plain)
}
