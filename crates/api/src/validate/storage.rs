//! Volumes, claims and storage classes.

use super::common::{one_of, optional, optional_one_of, required};
use super::metadata::{changed, invalid_each};
use super::selectors::label_selector;
use super::{names, pod};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::quantity::Quantity;
use serde_json::Value;

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// A PersistentVolumeClaimSpec: of claims and of templates.
pub(crate) fn claim_spec(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if spec.items("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    label_selector(spec.at("selector"), &path.child("selector"), errors);
    access_modes(spec, path, errors);
    let storage_path = path.child("resources");
    match spec.map("resources.requests").get("storage") {
        None => errors.required(&storage_path.key("storage"), ""),
        Some(size) => positive(size, &storage_path.key("storage"), errors),
    }
    optional(spec, "storageClassName", names::dns1123_subdomain, path, errors);
    volume_mode(spec, path, errors);
}

fn access_modes(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let modes = spec.items("accessModes");
    let path = path.child("accessModes");
    for mode in modes.iter().filter_map(Value::as_str) {
        if !ACCESS_MODES.contains(&mode) {
            errors.not_supported(&path, mode, ACCESS_MODES);
        }
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.forbidden(&path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn volume_mode(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    optional_one_of(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
}

fn positive(value: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let quantity: Option<Quantity> = value.as_str().and_then(|text| text.parse().ok()); // decoding refused others
    if quantity.is_some_and(|quantity| quantity <= Quantity::ZERO) {
        errors.invalid(path, value.clone(), "must be greater than zero");
    }
}

pub(crate) fn persistent_volume_claim(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    claim_spec(object.at("spec").unwrap_or(&Value::Null), &path.child("spec"), errors);
}

/// A bound claim is fixed but for its size and class of attributes.
pub(crate) fn persistent_volume_claim_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    let path = root.child("spec");
    let mut fixed = vec!["accessModes", "selector", "volumeMode", "dataSource", "dataSourceRef"];
    if !old.text("spec.volumeName").is_empty() {
        fixed.push("volumeName");
    }
    if !old.text("spec.storageClassName").is_empty() {
        fixed.push("storageClassName");
    }
    let differs =
        fixed.iter().any(|field| changed(new.at(&format!("spec.{field}")), old.at(&format!("spec.{field}"))));
    if differs {
        errors.forbidden(&path, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n");
    }
    let size = |object: &Value| object.text("spec.resources.requests.storage").parse::<Quantity>().ok(); // absent: not compared
    if let (Some(is), Some(was)) = (size(new), size(old))
        && is < was
    {
        errors.forbidden(
            &path.child("resources.requests.storage"),
            "field can not be less than status.capacity",
        );
    }
}

pub(crate) fn persistent_volume(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    if spec.items("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "");
    }
    access_modes(spec, &path, errors);
    let capacity_path = path.child("capacity");
    match spec.map("capacity").get("storage") {
        None if spec.map("capacity").is_empty() => errors.required(&capacity_path, ""),
        None => errors.not_supported(
            &capacity_path,
            spec.at("capacity").cloned().unwrap_or_default(),
            &["storage"],
        ),
        Some(size) => positive(size, &capacity_path.key("storage"), errors),
    }
    one_of(spec, "persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"], &path, errors);
    source(spec, &path, errors);
    optional(spec, "storageClassName", names::dns1123_subdomain, &path, errors);
    volume_mode(spec, &path, errors);
    let affinity = path.child("nodeAffinity");
    if let Some(selector) = spec.at("nodeAffinity.required") {
        pod::node_selector(selector, &affinity.child("required"), errors);
    }
}

const SOURCES: &[&str] = &[
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

fn source(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let given: Vec<&str> = SOURCES.iter().copied().filter(|source| spec.has(source)).collect();
    if given.is_empty() {
        errors.required(path, "must specify a volume type");
    }
    for extra in given.iter().skip(1) {
        errors.forbidden(&path.child(extra), "may not specify more than 1 volume type");
    }
    for (kind, needed) in [
        ("hostPath", "path"),
        ("local", "path"),
        ("nfs", "server"),
        ("csi", "driver"),
        ("csi", "volumeHandle"),
    ] {
        if let Some(found) = spec.at(kind) {
            required(found, needed, &path.child(kind), errors);
        }
    }
    if spec.has("local") && !spec.has("nodeAffinity") {
        errors.required(&path.child("nodeAffinity"), "Local volume requires node affinity");
    }
}

pub(crate) fn persistent_volume_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    let path = root.child("spec");
    let differs = SOURCES
        .iter()
        .any(|source| changed(new.at(&format!("spec.{source}")), old.at(&format!("spec.{source}"))));
    if differs {
        errors.forbidden(
            &path.child("persistentvolumesource"),
            "spec.persistentvolumesource is immutable after creation\n",
        );
    }
    if changed(new.at("spec.volumeMode"), old.at("spec.volumeMode")) {
        errors.invalid(&path.child("volumeMode"), new.text("spec.volumeMode"), "field is immutable");
    }
}

pub(crate) fn storage_class(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if required(object, "provisioner", path, errors) {
        let provisioner = object.text("provisioner");
        invalid_each(
            &path.child("provisioner"),
            provisioner,
            names::qualified_name(&provisioner.to_lowercase()),
            errors,
        );
    }
    optional_one_of(object, "reclaimPolicy", &["Delete", "Retain"], path, errors);
    match object.text("volumeBindingMode") {
        "" => errors.required(&path.child("volumeBindingMode"), ""),
        _ => {
            optional_one_of(object, "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"], path, errors)
        }
    }
    for key in object.map("parameters").keys().filter(|key| key.is_empty()) {
        errors.invalid(&path.child("parameters"), key.as_str(), "field can not be empty.");
    }
}

pub(crate) fn volume_attachment(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    required(spec, "attacher", &path, errors);
    match (spec.has("source.persistentVolumeName"), spec.has("source.inlineVolumeSpec")) {
        (false, false) => errors.required(
            &path.child("source"),
            "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
        (true, true) => errors.forbidden(
            &path.child("source"),
            "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
        _ => {}
    }
    required(spec, "nodeName", &path, errors);
}

pub(crate) fn csi_driver(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    for field in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if !spec.has(field) {
            errors.required(&path.child(field), "");
        }
    }
    optional_one_of(spec, "fsGroupPolicy", &["File", "None", "ReadWriteOnceWithFSType"], &path, errors);
    for mode in spec.items("volumeLifecycleModes").iter().filter_map(Value::as_str) {
        if !matches!(mode, "Ephemeral" | "Persistent") {
            errors.not_supported(&path.child("volumeLifecycleModes"), mode, &["Ephemeral", "Persistent"]);
        }
    }
}

pub(crate) fn csi_node(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("spec.drivers");
    let mut seen = super::common::Unique::default();
    for (index, driver) in object.items("spec.drivers").iter().enumerate() {
        let path = path.index(index);
        if required(driver, "name", &path, errors) {
            seen.check(driver.text("name"), &path.child("name"), errors);
        }
        required(driver, "nodeID", &path, errors);
    }
}
