//! Volumes, claims, classes and their drivers.

use super::text::{join, join_strings, or_none};
use super::{Context, text_or};
use crate::access::Access;
use serde_json::Value;

fn short_modes(modes: &[Value]) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given = |mode: &str| modes.iter().any(|value| value == mode);
    SHORT.iter().filter(|(mode, _)| given(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn phase(object: &Value) -> Value {
    if object.has("metadata.deletionTimestamp") {
        "Terminating".into()
    } else {
        object.text("status.phase").into()
    }
}

/// The class, which once was an annotation.
fn class(object: &Value) -> Value {
    match object.map("metadata.annotations").get("volume.beta.kubernetes.io/storage-class") {
        Some(old) => old.clone(),
        None => object.text("spec.storageClassName").into(),
    }
}

pub(crate) fn claim_status(claim: &Value, _: Context) -> Value {
    phase(claim)
}

pub(crate) fn claim_capacity(claim: &Value, _: Context) -> Value {
    if claim.text("spec.volumeName").is_empty() {
        "".into()
    } else {
        text_or(claim, "status.capacity.storage", "0")
    }
}

pub(crate) fn claim_access_modes(claim: &Value, _: Context) -> Value {
    if claim.text("spec.volumeName").is_empty() {
        "".into()
    } else {
        short_modes(claim.items("status.accessModes")).into()
    }
}

pub(crate) fn claim_class(claim: &Value, _: Context) -> Value {
    class(claim)
}

pub(crate) fn attributes_class(object: &Value, _: Context) -> Value {
    text_or(object, "spec.volumeAttributesClassName", "<unset>")
}

pub(crate) fn volume_mode(object: &Value, _: Context) -> Value {
    text_or(object, "spec.volumeMode", "<unset>")
}

pub(crate) fn volume_capacity(volume: &Value, _: Context) -> Value {
    text_or(volume, "spec.capacity.storage", "0")
}

pub(crate) fn volume_access_modes(volume: &Value, _: Context) -> Value {
    short_modes(volume.items("spec.accessModes")).into()
}

pub(crate) fn volume_status(volume: &Value, _: Context) -> Value {
    phase(volume)
}

pub(crate) fn volume_claim(volume: &Value, _: Context) -> Value {
    volume
        .at("spec.claimRef")
        .map_or("".into(), |claim| format!("{}/{}", claim.text("namespace"), claim.text("name")).into())
}

pub(crate) fn volume_class(volume: &Value, _: Context) -> Value {
    class(volume)
}

pub(crate) fn storage_class_name(class: &Value, _: Context) -> Value {
    let annotations = class.map("metadata.annotations");
    let is = |key: &str| annotations.get(key).is_some_and(|value| value == "true");
    let default = is("storageclass.kubernetes.io/is-default-class")
        || is("storageclass.beta.kubernetes.io/is-default-class");
    format!("{}{}", class.text("metadata.name"), if default { " (default)" } else { "" }).into()
}

pub(crate) fn reclaim_policy(class: &Value, _: Context) -> Value {
    text_or(class, "reclaimPolicy", "Delete")
}

pub(crate) fn binding_mode(class: &Value, _: Context) -> Value {
    text_or(class, "volumeBindingMode", "Immediate")
}

pub(crate) fn volume_expansion(class: &Value, _: Context) -> Value {
    class.flag("allowVolumeExpansion").into()
}

pub(crate) fn attachment_volume(attachment: &Value, _: Context) -> Value {
    attachment.text("spec.source.persistentVolumeName").into()
}

pub(crate) fn attached(attachment: &Value, _: Context) -> Value {
    attachment.flag("status.attached").into()
}

pub(crate) fn csi_attach(driver: &Value, _: Context) -> Value {
    driver.at("spec.attachRequired").cloned().unwrap_or(Value::Bool(true))
}

pub(crate) fn csi_pod_info(driver: &Value, _: Context) -> Value {
    driver.flag("spec.podInfoOnMount").into()
}

pub(crate) fn csi_capacity(driver: &Value, _: Context) -> Value {
    driver.flag("spec.storageCapacity").into()
}

pub(crate) fn csi_tokens(driver: &Value, _: Context) -> Value {
    match driver.items("spec.tokenRequests") {
        [] => "<unset>".into(),
        requests => join(requests, "audience", ",").into(),
    }
}

pub(crate) fn csi_republish(driver: &Value, _: Context) -> Value {
    driver.flag("spec.requiresRepublish").into()
}

pub(crate) fn csi_modes(driver: &Value, _: Context) -> Value {
    or_none(join_strings(driver.items("spec.volumeLifecycleModes"), ",")).into()
}

pub(crate) fn csi_node_drivers(node: &Value, _: Context) -> Value {
    node.items("spec.drivers").len().into()
}

pub(crate) fn csi_storage_capacity(capacity: &Value, _: Context) -> Value {
    text_or(capacity, "capacity", "<unset>")
}
