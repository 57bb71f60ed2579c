//! The pod's own fields, and the order in which everything is told.

use super::{containers, scheduling, security, volumes};
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use crate::validate::common::{Unique, named, number, one_of, optional, optional_one_of};
use crate::validate::metadata::{invalid_each, labels, nonnegative};
use crate::validate::names::{self, Messages};
use serde_json::Value;

pub(super) fn check(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    volumes::check(spec.items("volumes"), &path.child("volumes"), errors);
    resource_claims(spec, path, errors);
    containers::check_all(spec, path, errors);
    host_network(spec, path, errors);
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, errors);
    one_of(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, errors);
    security::pod(spec, path, errors);
    pull_secrets(spec, path, errors);
    scheduling::affinity(spec, path, errors);
    dns(spec, path, errors);
    gates(spec, path, errors);
    scheduling::spread_constraints(spec, path, errors);
    labels(spec.map("nodeSelector"), &path.child("nodeSelector"), errors);
    optional(spec, "serviceAccountName", names::dns1123_subdomain, path, errors);
    optional(spec, "nodeName", names::dns1123_subdomain, path, errors);
    number(spec, "activeDeadlineSeconds", active_deadline, path, errors);
    optional(spec, "hostname", names::dns1123_label, path, errors);
    optional(spec, "subdomain", names::dns1123_label, path, errors);
    scheduling::tolerations(spec.items("tolerations"), &path.child("tolerations"), errors);
    host_aliases(spec, path, errors);
    optional(spec, "priorityClassName", names::dns1123_subdomain, path, errors);
    optional(spec, "runtimeClassName", names::dns1123_subdomain, path, errors);
    optional_one_of(spec, "preemptionPolicy", &["Never", "PreemptLowerPriority"], path, errors);
    super::resources::check_list(spec, "overhead", path, errors);
    nonnegative(spec, "terminationGracePeriodSeconds", path, errors);
    operating_system(spec, path, errors);
    optional(spec, "hostnameOverride", names::dns1123_subdomain, path, errors);
}

fn active_deadline(value: i64) -> Messages {
    names::in_range(value, 1, i64::from(i32::MAX))
}

fn resource_claims(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("resourceClaims");
    let mut seen = Unique::default();
    for (index, claim) in spec.items("resourceClaims").iter().enumerate() {
        let path = path.index(index);
        if named(claim, "name", names::dns1123_label, &path, errors) {
            seen.check(claim.text("name"), &path.child("name"), errors);
        }
        match (claim.has("resourceClaimName"), claim.has("resourceClaimTemplateName")) {
            (true, true) => errors.invalid(
                &path,
                claim.clone(),
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            ),
            (false, false) => errors.invalid(
                &path,
                claim.clone(),
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ),
            _ => {}
        }
    }
}

/// In the host's network a port is the host's port.
fn host_network(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if !spec.flag("hostNetwork") {
        return;
    }
    for field in ["containers", "initContainers"] {
        let path = path.child(field);
        for (index, container) in spec.items(field).iter().enumerate() {
            let container_path = path.index(index);
            let path = container_path.child("ports");
            for (index, port) in container.items("ports").iter().enumerate() {
                let host = port.int("hostPort");
                if host != 0 && host != port.int("containerPort") {
                    errors.invalid(
                        &path.index(index).child("containerPort"),
                        port.int("containerPort"),
                        "must match `hostPort` when `hostNetwork` is true",
                    );
                }
            }
        }
    }
}

fn pull_secrets(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("imagePullSecrets");
    for (index, secret) in spec.items("imagePullSecrets").iter().enumerate() {
        if secret.text("name").is_empty() {
            errors.required(&path.index(index).child("name"), "");
        }
    }
}

fn dns(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("dnsConfig");
    let servers = spec.items("dnsConfig.nameservers");
    if spec.text("dnsPolicy") == "None" && servers.is_empty() {
        let at = path.child("nameservers");
        errors.required(&at, "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
    if servers.len() > 3 {
        errors.invalid(
            &path.child("nameservers"),
            Value::Array(servers.to_vec()),
            "must not have more than 3 nameservers",
        );
    }
    let at = path.child("nameservers");
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        invalid_each(&at.index(index), server, names::ip_address(server), errors);
    }
    let searches = spec.items("dnsConfig.searches");
    if searches.len() > 32 {
        errors.invalid(
            &path.child("searches"),
            Value::Array(searches.to_vec()),
            "must not have more than 32 search paths",
        );
    }
    let at = path.child("options");
    for (index, option) in spec.items("dnsConfig.options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&at.index(index), "must not be empty");
        }
    }
}

fn gates(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("readinessGates");
    for (index, gate) in spec.items("readinessGates").iter().enumerate() {
        let condition = gate.text("conditionType");
        invalid_each(
            &at.index(index).child("conditionType"),
            condition,
            names::qualified_name(condition),
            errors,
        );
    }
    let at = path.child("schedulingGates");
    let mut seen = Unique::default();
    for (index, gate) in spec.items("schedulingGates").iter().enumerate() {
        let path = at.index(index);
        invalid_each(&path, gate.text("name"), names::qualified_name(gate.text("name")), errors);
        seen.check(gate.text("name"), &path, errors);
    }
}

fn host_aliases(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("hostAliases");
    for (index, alias) in spec.items("hostAliases").iter().enumerate() {
        let path = path.index(index);
        let ip = alias.text("ip");
        invalid_each(&path.child("ip"), ip, names::ip_address(ip), errors);
        for name in alias.items("hostnames").iter().filter_map(Value::as_str) {
            invalid_each(&path.child("hostnames"), name, names::dns1123_subdomain(name), errors);
        }
    }
}

fn operating_system(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    if let Some(os) = spec.at("os") {
        let path = path.child("os");
        one_of(os, "name", &["linux", "windows"], &path, errors);
    }
}
