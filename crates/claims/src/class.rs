//! Storage classes of claims and volumes.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::annotations::{CLASS_BETA, DEFAULT_CLASS, DEFAULT_CLASS_BETA};

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// The class that a claim names; none if it names none at all, which is not the same as an empty name.
pub fn of_claim(claim: &PersistentVolumeClaim) -> Option<&str> {
    let field = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&claim.metadata, CLASS_BETA).or(field)
}

/// The class of a volume; empty without one.
pub fn of_volume(volume: &PersistentVolume) -> &str {
    let field = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&volume.metadata, CLASS_BETA).or(field).unwrap_or_default()
}

/// Whether claims of the class wait for their first pod.
pub fn is_delayed(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// The class of claims that name none: of several the newest, and of those the first by name.
pub fn default_class(classes: &[Arc<StorageClass>]) -> Option<&Arc<StorageClass>> {
    let marks = |class: &&Arc<StorageClass>| {
        [DEFAULT_CLASS, DEFAULT_CLASS_BETA]
            .iter()
            .any(|mark| annotation(&class.metadata, mark) == Some("true"))
    };
    let age = |class: &&Arc<StorageClass>| {
        let made = class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (Reverse(made), class.metadata.name.clone())
    };
    classes.iter().filter(marks).min_by_key(age)
}
