//! Volumes: exactly one source each, and what each source needs.

use super::env;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::quantity::Quantity;
use crate::validate::common::{Unique, local_file, local_path, named, optional_one_of, required};
use crate::validate::metadata::invalid_each;
use crate::validate::names;
use serde_json::Value;

const HOST_PATH_TYPES: &[&str] =
    &["BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

pub(super) fn check(list: &[Value], path: &Path<'_>, errors: &mut FieldErrors) {
    let mut seen = Unique::default();
    for (index, volume) in list.iter().enumerate() {
        let path = path.index(index);
        if named(volume, "name", names::dns1123_label, &path, errors) {
            seen.check(volume.text("name"), &path.child("name"), errors);
        }
        source(volume, &path, errors);
    }
}

fn source(volume: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(fields) = volume.as_object() else { return };
    let kinds = fields.iter().filter(|(kind, value)| *kind != "name" && !value.is_null());
    let mut count = 0;
    for (kind, source) in kinds {
        count += 1;
        let path = path.child(kind);
        if count > 1 {
            errors.forbidden(&path, "may not specify more than 1 volume type");
        } else {
            of_kind(kind, source, &path, errors);
        }
    }
    if count == 0 {
        errors.required(path, "must specify a volume type");
    }
}

fn of_kind(kind: &str, source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let needed: &[&str] = match kind {
        "hostPath" => return host_path(source, path, errors),
        "emptyDir" => return empty_dir(source, path, errors),
        "secret" => return files(source, "secretName", path, errors),
        "configMap" => return files(source, "name", path, errors),
        "downwardAPI" => return downward(source, path, errors),
        "projected" => return projected(source, path, errors),
        "ephemeral" => return ephemeral(source, path, errors),
        "nfs" => return nfs(source, path, errors),
        "persistentVolumeClaim" => &["claimName"],
        "csi" => &["driver"],
        "gitRepo" => &["repository"],
        "iscsi" => &["targetPortal", "iqn"],
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => &["volumeID"],
        "glusterfs" => &["endpoints", "path"],
        "azureFile" => &["secretName", "shareName"],
        "azureDisk" => &["diskName", "diskURI"],
        "rbd" => &["image"],
        "flexVolume" => &["driver"],
        "quobyte" => &["registry", "volume"],
        "vsphereVolume" => &["volumePath"],
        _ => &[],
    };
    for field in needed {
        required(source, field, path, errors);
    }
}

fn host_path(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if required(source, "path", path, errors) {
        back_steps(source.text("path"), &path.child("path"), errors);
    }
    optional_one_of(source, "type", HOST_PATH_TYPES, path, errors);
}

fn back_steps(value: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    if value.split('/').any(|part| part == "..") {
        errors.invalid(path, value, "must not contain '..'");
    }
}

fn empty_dir(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let limit: Option<Quantity> = source.text("sizeLimit").parse().ok(); // absent: no limit
    if limit.is_some_and(|limit| limit < Quantity::ZERO) {
        errors.forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
}

fn nfs(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    required(source, "server", path, errors);
    required(source, "path", path, errors);
    if !source.text("path").starts_with('/') {
        errors.invalid(&path.child("path"), source.text("path"), "must be an absolute path");
    }
}

/// A ConfigMap or a Secret as files.
fn files(source: &Value, name: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    required(source, name, path, errors);
    mode(source, "defaultMode", path, errors);
    items(source, path, errors);
}

fn items(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("items");
    for (index, item) in source.items("items").iter().enumerate() {
        let path = path.index(index);
        required(item, "key", &path, errors);
        if required(item, "path", &path, errors) {
            local_file(item.text("path"), &path.child("path"), errors);
        }
        mode(item, "mode", &path, errors);
    }
}

fn mode(object: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    if let Some(mode) = object.int_at(field).filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(
            &path.child(field),
            mode,
            "must be a number between 0 and 0777 (octal), both inclusive",
        );
    }
}

fn downward(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    mode(source, "defaultMode", path, errors);
    let path = path.child("items");
    for (index, item) in source.items("items").iter().enumerate() {
        downward_file(item, &path.index(index), errors);
    }
}

fn downward_file(item: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if required(item, "path", path, errors) {
        local_file(item.text("path"), &path.child("path"), errors);
    }
    match (item.at("fieldRef"), item.at("resourceFieldRef")) {
        (Some(_), Some(_)) => errors.invalid(
            path,
            "resource",
            "fieldRef and resourceFieldRef can not be specified simultaneously",
        ),
        (Some(found), None) => env::field_ref(found, env::VOLUME_FIELDS, &path.child("fieldRef"), errors),
        (None, Some(found)) => env::resource_ref(found, true, &path.child("resourceFieldRef"), errors),
        (None, None) => {
            errors.required(&path.child("fieldRef"), "one of fieldRef and resourceFieldRef is required")
        }
    }
    mode(item, "mode", path, errors);
}

fn projected(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    mode(source, "defaultMode", path, errors);
    let at = path.child("sources");
    for (index, projection) in source.items("sources").iter().enumerate() {
        one_projection(projection, &at.index(index), errors);
    }
}

fn one_projection(projection: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let Some(fields) = projection.as_object() else { return };
    let mut count = 0;
    for (kind, source) in fields.iter().filter(|(_, value)| !value.is_null()) {
        count += 1;
        let path = path.child(kind);
        if count > 1 {
            errors.forbidden(&path, "may not specify more than 1 volume type");
            continue;
        }
        match kind.as_str() {
            "secret" | "configMap" => {
                required(source, "name", &path, errors);
                items(source, &path, errors);
            }
            "downwardAPI" => downward(source, &path, errors),
            "serviceAccountToken" => token(source, &path, errors),
            _ => {}
        }
    }
    if count == 0 {
        errors.required(path, "must specify a volume type");
    }
}

fn token(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let seconds = source.int("expirationSeconds");
    if seconds < 600 {
        errors.invalid(
            &path.child("expirationSeconds"),
            seconds,
            "may not specify a duration less than 10 minutes",
        );
    }
    if seconds > 1 << 32 {
        errors.invalid(
            &path.child("expirationSeconds"),
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        );
    }
    if required(source, "path", path, errors) {
        local_path(source.text("path"), &path.child("path"), errors);
    }
}

fn ephemeral(source: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    match source.at("volumeClaimTemplate") {
        None => errors.required(&path.child("volumeClaimTemplate"), ""),
        Some(template) => {
            let path = path.child("volumeClaimTemplate");
            for name in template.map("metadata.labels").keys() {
                invalid_each(&path.child("labels"), name, names::qualified_name(name), errors);
            }
            crate::validate::storage::claim_spec(
                template.at("spec").unwrap_or(&Value::Null),
                &path.child("spec"),
                errors,
            );
        }
    }
}
