//! Containers, init containers and ephemeral ones.

use super::{env, probes, resources, security};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::common::{Unique, local_path, named, one_of, optional_one_of};
use crate::validate::metadata::invalid_each;
use crate::validate::names;
use serde_json::Value;
use std::collections::HashSet;

/// Which list of the pod a container stands in.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    Main,
    Init,
    Ephemeral,
}

/// What the containers of a pod need to know of it.
pub(super) struct Pod<'a> {
    pub spec: &'a Value,
    pub grace_seconds: i64,
}

pub(super) fn check_all(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let pod = Pod { spec, grace_seconds: spec.int("terminationGracePeriodSeconds") };
    let mut names = Unique::default();
    let mut host_ports = HashSet::new();
    if spec.items("containers").is_empty() {
        errors.required(&path.child("containers"), "");
    }
    for (field, role) in
        [("containers", Role::Main), ("initContainers", Role::Init), ("ephemeralContainers", Role::Ephemeral)]
    {
        let path = path.child(field);
        // a main and an init container of one port never conflict: they do not run together
        host_ports.clear();
        for (index, container) in spec.items(field).iter().enumerate() {
            let path = path.index(index);
            check(container, role, &pod, &path, errors);
            if !container.text("name").is_empty() {
                names.check(container.text("name"), &path.child("name"), errors);
            }
            host_port_conflicts(container, &mut host_ports, &path, errors);
        }
    }
}

fn check(container: &Value, role: Role, pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    named(container, "name", names::dns1123_label, path, errors);
    image(container, path, errors);
    one_of(container, "terminationMessagePolicy", &["File", "FallbackToLogsOnError"], path, errors);
    ports(container, path, errors);
    env::check(container, pod, path, errors);
    mounts(container, pod, path, errors);
    devices(container, pod, path, errors);
    one_of(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    resources::requirements(container, path, errors);
    resize_policy(container, path, errors);
    security::container(container, path, errors);
    restart_policy(container, role, path, errors);
    let sidecar = role == Role::Init && container.text("restartPolicy") == "Always";
    match role {
        Role::Main => probes::check(container, pod, path, errors),
        Role::Init if sidecar => probes::check(container, pod, path, errors),
        Role::Init => probes::forbid(
            container,
            "may not be set for init containers without restartPolicy=Always",
            path,
            errors,
        ),
        Role::Ephemeral => ephemeral(container, pod, path, errors),
    }
}

fn image(container: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let image = container.text("image");
    if image.is_empty() {
        errors.required(&path.child("image"), "");
    } else if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
}

fn restart_policy(container: &Value, role: Role, path: &Path<'_>, errors: &mut FieldErrors) {
    match role {
        Role::Ephemeral if container.has("restartPolicy") => {
            errors.forbidden(&path.child("restartPolicy"), "cannot be set for an Ephemeral Container")
        }
        _ => optional_one_of(container, "restartPolicy", &["Always", "Never", "OnFailure"], path, errors),
    }
}

fn ephemeral(container: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    for field in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports"] {
        if container.has(field) {
            errors.forbidden(&path.child(field), "cannot be set for an Ephemeral Container");
        }
    }
    let target = container.text("targetContainerName");
    if !target.is_empty() && pod.spec.item_where("containers", "name", target).is_none() {
        errors.not_found(&path.child("targetContainerName"), target);
    }
}

fn ports(container: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("ports");
    let mut seen = Unique::default();
    for (index, port) in container.items("ports").iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            let found = names::port_name(name);
            if found.is_empty() {
                seen.check(name, &path.child("name"), errors);
            }
            invalid_each(&path.child("name"), name, found, errors);
        }
        match port.int("containerPort") {
            0 => errors.required(&path.child("containerPort"), ""),
            number => port_in_range(number, &path.child("containerPort"), errors),
        }
        if port.int("hostPort") != 0 {
            port_in_range(port.int("hostPort"), &path.child("hostPort"), errors);
        }
        one_of(port, "protocol", &["TCP", "UDP", "SCTP"], &path, errors);
        if !port.text("hostIP").is_empty() {
            invalid_each(
                &path.child("hostIP"),
                port.text("hostIP"),
                names::ip_address(port.text("hostIP")),
                errors,
            );
        }
    }
}

fn port_in_range(number: i64, path: &Path<'_>, errors: &mut FieldErrors) {
    for message in names::port_number(number) {
        errors.invalid(path, number, message);
    }
}

fn host_port_conflicts(
    container: &Value,
    seen: &mut HashSet<String>,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let path = path.child("ports");
    for (index, port) in container.items("ports").iter().enumerate() {
        if port.int("hostPort") == 0 {
            continue;
        }
        let key = format!("{}/{}/{}", port.text("protocol"), port.text("hostIP"), port.int("hostPort"));
        if !seen.insert(key.clone()) {
            errors.duplicate(&path.index(index).child("hostPort"), key);
        }
    }
}

fn mounts(container: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("volumeMounts");
    let mut places = HashSet::new();
    for (index, mount) in container.items("volumeMounts").iter().enumerate() {
        let path = path.index(index);
        let (name, place) = (mount.text("name"), mount.text("mountPath"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else if pod.spec.item_where("volumes", "name", name).is_none() {
            errors.not_found(&path.child("name"), name);
        }
        if place.is_empty() {
            errors.required(&path.child("mountPath"), "");
        } else if !places.insert(place) {
            errors.invalid(&path.child("mountPath"), place, "must be unique");
        }
        sub_path(mount, &path, errors);
        propagation(mount, container, &path, errors);
    }
}

fn sub_path(mount: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let (plain, expanded) = (mount.text("subPath"), mount.text("subPathExpr"));
    if !plain.is_empty() {
        local_path(plain, &path.child("subPath"), errors);
    }
    if !expanded.is_empty() {
        if !plain.is_empty() {
            errors.invalid(
                &path.child("subPathExpr"),
                expanded,
                "subPathExpr and subPath are mutually exclusive",
            );
        }
        local_path(expanded, &path.child("subPathExpr"), errors);
    }
}

fn propagation(mount: &Value, container: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    optional_one_of(mount, "mountPropagation", &["Bidirectional", "HostToContainer", "None"], path, errors);
    if mount.text("mountPropagation") == "Bidirectional" && !container.flag("securityContext.privileged") {
        errors.forbidden(
            &path.child("mountPropagation"),
            "Bidirectional mount propagation is available only to privileged containers",
        );
    }
}

fn devices(container: &Value, pod: &Pod<'_>, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("volumeDevices");
    for (index, device) in container.items("volumeDevices").iter().enumerate() {
        let path = path.index(index);
        let name = device.text("name");
        match pod.spec.item_where("volumes", "name", name) {
            _ if name.is_empty() => errors.required(&path.child("name"), ""),
            None => errors.not_found(&path.child("name"), name),
            Some(volume) if !volume.has("persistentVolumeClaim") && !volume.has("ephemeral") => {
                errors.invalid(
                    &path.child("name"),
                    name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                );
            }
            Some(_) => {}
        }
        if device.text("devicePath").is_empty() {
            errors.required(&path.child("devicePath"), "");
        }
    }
}

fn resize_policy(container: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("resizePolicy");
    for (index, policy) in container.items("resizePolicy").iter().enumerate() {
        let path = path.index(index);
        one_of(policy, "resourceName", &["cpu", "memory"], &path, errors);
        one_of(policy, "restartPolicy", &["NotRequired", "RestartContainer"], &path, errors);
    }
}
