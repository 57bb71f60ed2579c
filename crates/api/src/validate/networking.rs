//! Ingresses, network policies, service CIDRs.

use super::common::{named, number, one_of, optional, optional_one_of, required};
use super::metadata::invalid_each;
use super::names;
use super::selectors::label_selector;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;

pub(crate) fn ingress(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    if spec.items("rules").is_empty() && !spec.has("defaultBackend") {
        errors.invalid(
            &path,
            spec.items("rules").to_vec(),
            "either `defaultBackend` or `rules` must be specified",
        );
    }
    if let Some(found) = spec.at("defaultBackend") {
        backend(found, &path.child("defaultBackend"), errors);
    }
    let at = path.child("rules");
    for (index, rule) in spec.items("rules").iter().enumerate() {
        ingress_rule(rule, &at.index(index), errors);
    }
    let at = path.child("tls");
    for (index, tls) in spec.items("tls").iter().enumerate() {
        let path = at.index(index);
        let hosts = path.child("hosts");
        for (index, name) in tls.items("hosts").iter().filter_map(Value::as_str).enumerate() {
            host(name, &hosts.index(index), errors);
        }
    }
    optional(spec, "ingressClassName", names::dns1123_subdomain, &path, errors);
}

fn host(name: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let found =
        if name.contains('*') { names::wildcard_subdomain(name) } else { names::dns1123_subdomain(name) };
    invalid_each(path, name, found, errors);
}

fn ingress_rule(rule: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let name = rule.text("host");
    if !name.is_empty() {
        if name.parse::<std::net::IpAddr>().is_ok() {
            errors.invalid(&path.child("host"), name, "must be a DNS name, not an IP address");
        } else {
            host(name, &path.child("host"), errors);
        }
    }
    let Some(http) = rule.at("http") else { return };
    let at = path.child("http.paths");
    if http.items("paths").is_empty() {
        errors.required(&at, "");
    }
    for (index, entry) in http.items("paths").iter().enumerate() {
        let path = at.index(index);
        let value = entry.text("path");
        match entry.text("pathType") {
            "" => errors.required(&path.child("pathType"), "pathType must be specified"),
            "Exact" | "Prefix" if !value.starts_with('/') => {
                errors.invalid(&path.child("path"), value, "must be an absolute path")
            }
            "Exact" | "Prefix" | "ImplementationSpecific" => {}
            other => errors.not_supported(
                &path.child("pathType"),
                other,
                &["Exact", "Prefix", "ImplementationSpecific"],
            ),
        }
        backend(entry.at("backend").unwrap_or(&Value::Null), &path.child("backend"), errors);
    }
}

fn backend(backend: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    match (backend.at("service"), backend.at("resource")) {
        (Some(_), Some(_)) => errors.invalid(path, "", "cannot set both resource and service backends"),
        (None, None) => errors.required(path, "resource or service backend is required"),
        (None, Some(_)) => {}
        (Some(service), None) => {
            let path = path.child("service");
            named(service, "name", names::dns1035_label, &path, errors);
            let (name, number_set) = (service.text("port.name"), service.int("port.number") != 0);
            match (name.is_empty(), number_set) {
                (true, false) => errors.required(&path, "port name or number is required"),
                (false, true) => errors.invalid(&path, "", "cannot set both port name & port number"),
                (false, false) => {
                    invalid_each(&path.child("port.name"), name, names::port_name(name), errors)
                }
                (true, true) => number(
                    service.at("port").unwrap_or(&Value::Null),
                    "number",
                    names::port_number,
                    &path.child("port"),
                    errors,
                ),
            }
        }
    }
}

pub(crate) fn ingress_class(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    required(spec, "controller", &path, errors);
    if spec.text("controller").len() > 250 {
        errors.too_long(&path.child("controller"), 250);
    }
    if let Some(parameters) = spec.at("parameters") {
        let path = path.child("parameters");
        required(parameters, "kind", &path, errors);
        required(parameters, "name", &path, errors);
        one_of(parameters, "scope", &["Cluster", "Namespace"], &path, errors);
    }
}

pub(crate) fn network_policy(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let spec = object.at("spec").unwrap_or(&Value::Null);
    let path = path.child("spec");
    label_selector(spec.at("podSelector"), &path.child("podSelector"), errors);
    for (field, peers) in [("ingress", "from"), ("egress", "to")] {
        let at = path.child(field);
        for (index, rule) in spec.items(field).iter().enumerate() {
            let path = at.index(index);
            policy_ports(rule, &path, errors);
            let at = path.child(peers);
            for (index, peer) in rule.items(peers).iter().enumerate() {
                policy_peer(peer, &at.index(index), errors);
            }
        }
    }
    let at = path.child("policyTypes");
    for (index, kind) in spec.items("policyTypes").iter().filter_map(Value::as_str).enumerate() {
        if !matches!(kind, "Egress" | "Ingress") {
            errors.not_supported(&at.index(index), kind, &["Egress", "Ingress"]);
        }
    }
}

fn policy_ports(rule: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("ports");
    for (index, port) in rule.items("ports").iter().enumerate() {
        let path = at.index(index);
        optional_one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &path, errors);
        if port.has("port") {
            super::common::port_or_name(port, "port", &path, errors);
        } else if port.has("endPort") {
            errors.required(&path.child("endPort"), "may not be specified when `port` is not specified");
        }
        if let (Some(first), Some(last)) = (port.int_at("port"), port.int_at("endPort"))
            && last < first
        {
            errors.invalid(&path.child("endPort"), first, "must be greater than or equal to `port`");
        }
    }
}

fn policy_peer(peer: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let selectors = peer.has("podSelector") || peer.has("namespaceSelector");
    label_selector(peer.at("podSelector"), &path.child("podSelector"), errors);
    label_selector(peer.at("namespaceSelector"), &path.child("namespaceSelector"), errors);
    match peer.at("ipBlock") {
        None if !selectors => errors.required(path, "must specify a peer"),
        None => {}
        Some(_) if selectors => errors.forbidden(path, "may not specify both ipBlock and another peer"),
        Some(block) => {
            let path = path.child("ipBlock");
            match block.text("cidr") {
                "" => errors.required(&path.child("cidr"), ""),
                cidr => invalid_each(&path.child("cidr"), cidr, names::cidr(cidr), errors),
            }
        }
    }
}

pub(crate) fn service_cidr(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let list = object.items("spec.cidrs");
    let path = path.child("spec.cidrs");
    if list.is_empty() {
        errors.required(&path, "at least one CIDR required");
    }
    if list.len() > 2 {
        errors.invalid(&path, Value::Array(list.to_vec()), "must only hold 2 values");
    }
    for (index, cidr) in list.iter().filter_map(Value::as_str).enumerate() {
        invalid_each(&path.index(index), cidr, names::cidr(cidr), errors);
    }
}

pub(crate) fn ip_address(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let path = path.child("spec");
    let Some(parent) = object.at("spec.parentRef") else {
        return errors.required(&path.child("parentRef"), "");
    };
    for field in ["resource", "name"] {
        required(parent, field, &path.child("parentRef"), errors);
    }
}
