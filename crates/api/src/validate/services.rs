//! Services, Endpoints and EndpointSlices.
//!
//! Upstream: ValidateService; pkg/apis/discovery/validation.

use super::common::{Unique, named, one_of, optional_one_of, port_or_name, required};
use super::metadata::{invalid_each, labels};
use super::names;
use crate::access::Access;
use crate::field_errors::{FieldErrors, Path};
use serde_json::Value;

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];

pub(crate) fn service(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let empty = Value::Null;
    let spec = object.at("spec").unwrap_or(&empty);
    let path = path.child("spec");
    let kind = spec.text("type");
    let headless = spec.text("clusterIP") == "None";
    if spec.items("ports").is_empty() && !headless && kind != "ExternalName" {
        errors.required(&path.child("ports"), "");
    }
    by_type(spec, kind, headless, &path, errors);
    ports(spec, kind, &path, errors);
    labels(spec.map("selector"), &path.child("selector"), errors);
    one_of(spec, "sessionAffinity", &["ClientIP", "None"], &path, errors);
    one_of(spec, "type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], &path, errors);
    addresses(spec, &path, errors);
    traffic(spec, kind, &path, errors);
}

fn by_type(spec: &Value, kind: &str, headless: bool, path: &Path<'_>, errors: &mut FieldErrors) {
    match kind {
        "LoadBalancer" | "NodePort" if headless => errors.invalid(
            &path.child("clusterIPs").index(0),
            "None",
            format!("may not be set to 'None' for {kind} services"),
        ),
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies"] {
                if !spec.items(field).is_empty() {
                    errors.forbidden(&path.child(field), "may not be set for ExternalName services");
                }
            }
            let name = spec.text("externalName").trim_end_matches('.');
            if required(spec, "externalName", path, errors) {
                invalid_each(
                    &path.child("externalName"),
                    spec.text("externalName"),
                    names::dns1123_subdomain(name),
                    errors,
                );
            }
        }
        _ => {}
    }
}

fn ports(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let list = spec.items("ports");
    let path = path.child("ports");
    let mut names_seen = Unique::default();
    let mut seen = Vec::new();
    for (index, port) in list.iter().enumerate() {
        let path = path.index(index);
        port_fields(port, list.len() > 1, &mut names_seen, &path, errors);
        if port.int("nodePort") != 0 && kind == "ClusterIP" {
            errors.forbidden(&path.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
        let key = (port.text("protocol"), port.int("port"));
        if seen.contains(&key) {
            errors.duplicate(&path, serde_json::json!({"protocol": key.0, "port": key.1}));
        }
        seen.push(key);
    }
}

fn port_fields<'a>(
    port: &'a Value,
    name_needed: bool,
    seen: &mut Unique<'a>,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let name = port.text("name");
    if name.is_empty() && name_needed {
        errors.required(&path.child("name"), "");
    } else if !name.is_empty() {
        invalid_each(&path.child("name"), name, names::dns1123_label(name), errors);
        seen.check(name, &path.child("name"), errors);
    }
    port_number(port, "port", path, errors);
    one_of(port, "protocol", PROTOCOLS, path, errors);
    port_or_name(port, "targetPort", path, errors);
    app_protocol(port, path, errors);
    if port.int("nodePort") != 0 {
        port_number(port, "nodePort", path, errors);
    }
}

fn port_number(port: &Value, field: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    for message in names::port_number(port.int(field)) {
        errors.invalid(&path.child(field), port.int(field), message);
    }
}

fn app_protocol(port: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    super::common::optional(port, "appProtocol", names::qualified_name, path, errors);
}

fn addresses(spec: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    for (field, rule) in [
        ("externalIPs", names::ip_address as fn(&str) -> names::Messages),
        ("loadBalancerSourceRanges", names::cidr),
    ] {
        let at = path.child(field);
        for (index, value) in spec.items(field).iter().filter_map(Value::as_str).enumerate() {
            invalid_each(&at.index(index), value.trim(), rule(value.trim()), errors);
        }
    }
    let at = path.child("clusterIPs");
    for (index, ip) in spec.items("clusterIPs").iter().filter_map(Value::as_str).enumerate() {
        if !matches!(ip, "None" | "") {
            invalid_each(&at.index(index), ip, names::ip_address(ip), errors);
        }
    }
    let clusterip = spec.text("clusterIP");
    if let Some(first) = spec.items("clusterIPs").first().and_then(Value::as_str)
        && !clusterip.is_empty()
        && first != clusterip
    {
        errors.invalid(&at.index(0), first, "first value must match `clusterIP`");
    }
    optional_one_of(
        spec,
        "ipFamilyPolicy",
        &["SingleStack", "PreferDualStack", "RequireDualStack"],
        path,
        errors,
    );
    let at = path.child("ipFamilies");
    for (index, family) in spec.items("ipFamilies").iter().filter_map(Value::as_str).enumerate() {
        if !matches!(family, "IPv4" | "IPv6") {
            errors.not_supported(&at.index(index), family, &["IPv4", "IPv6"]);
        }
    }
}

fn traffic(spec: &Value, kind: &str, path: &Path<'_>, errors: &mut FieldErrors) {
    let external = matches!(kind, "LoadBalancer" | "NodePort") || !spec.items("externalIPs").is_empty();
    let policy = spec.text("externalTrafficPolicy");
    if !policy.is_empty() && !external {
        errors.invalid(
            &path.child("externalTrafficPolicy"),
            policy,
            "may only be set for externally-accessible services",
        );
    }
    optional_one_of(spec, "externalTrafficPolicy", &["Cluster", "Local"], path, errors);
    optional_one_of(spec, "internalTrafficPolicy", &["Cluster", "Local"], path, errors);
    optional_one_of(
        spec,
        "trafficDistribution",
        &["PreferClose", "PreferSameNode", "PreferSameZone"],
        path,
        errors,
    );
    if spec.text("sessionAffinity") == "None" && spec.has("sessionAffinityConfig") {
        errors
            .forbidden(&path.child("sessionAffinityConfig"), "must not be set when session affinity is None");
    }
    if let Some(seconds) = spec
        .int_at("sessionAffinityConfig.clientIP.timeoutSeconds")
        .filter(|seconds| !(1..=86400).contains(seconds))
    {
        errors.invalid(
            &path.child("sessionAffinityConfig.clientIP.timeoutSeconds"),
            seconds,
            "must be greater than 0 and less than 86400",
        );
    }
    if kind != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if spec.has(field) {
                errors.forbidden(&path.child(field), "may only be used when `type` is 'LoadBalancer'");
            }
        }
    }
}

/// The primary address of a Service is its own for ever.
pub(crate) fn service_update(new: &Value, old: &Value, _: &str, errors: &mut FieldErrors) {
    let root = Path::Root;
    let spec = root.child("spec");
    let list = spec.child("clusterIPs");
    let external = |object: &Value| object.text("spec.type") == "ExternalName";
    if external(new) || external(old) {
        return;
    }
    let primary = |object: &Value| match object.items("spec.clusterIPs").first().and_then(Value::as_str) {
        Some(first) => first.to_owned(),
        None => object.text("spec.clusterIP").to_owned(),
    };
    let (is, was) = (primary(new), primary(old));
    if was.is_empty() || is == was {
        return;
    }
    let detail = if is.is_empty() { "primary clusterIP can not be unset" } else { "may not change once set" };
    let value = new.at("spec.clusterIPs").cloned().unwrap_or_else(|| Value::Array(vec![is.into()]));
    errors.invalid(&list.index(0), value, detail);
}

pub(crate) fn endpoints(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let at = path.child("subsets");
    for (index, subset) in object.items("subsets").iter().enumerate() {
        let path = at.index(index);
        if subset.items("addresses").is_empty() && subset.items("notReadyAddresses").is_empty() {
            errors.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for field in ["addresses", "notReadyAddresses"] {
            let at = path.child(field);
            for (index, address) in subset.items(field).iter().enumerate() {
                endpoint_address(address, &at.index(index), errors);
            }
        }
        let ports = subset.items("ports");
        let at = path.child("ports");
        for (index, port) in ports.iter().enumerate() {
            let path = at.index(index);
            if port.text("name").is_empty() && ports.len() > 1 {
                errors.required(&path.child("name"), "");
            }
            super::common::optional(port, "name", names::dns1123_label, &path, errors);
            port_number(port, "port", &path, errors);
            one_of(port, "protocol", PROTOCOLS, &path, errors);
        }
    }
}

fn endpoint_address(address: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    let ip = address.text("ip");
    invalid_each(&path.child("ip"), ip, names::ip_address(ip), errors);
    super::common::optional(address, "hostname", names::dns1123_label, path, errors);
    super::common::optional(address, "nodeName", names::dns1123_subdomain, path, errors);
    if ip.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        errors.invalid(&path.child("ip"), ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
}

pub(crate) fn endpoint_slice(object: &Value, path: &Path<'_>, errors: &mut FieldErrors) {
    one_of(object, "addressType", &["FQDN", "IPv4", "IPv6"], path, errors);
    let list = object.items("endpoints");
    let at = path.child("endpoints");
    if list.len() > 1000 {
        errors.too_many(&at, list.len(), 1000);
    }
    let rule: fn(&str) -> names::Messages =
        if object.text("addressType") == "FQDN" { names::dns1123_subdomain } else { names::ip_address };
    for (index, endpoint) in list.iter().enumerate() {
        let path = at.index(index);
        slice_endpoint(endpoint, rule, &path, errors);
    }
    let ports = object.items("ports");
    let at = path.child("ports");
    if ports.len() > 20000 {
        errors.too_many(&at, ports.len(), 20000);
    }
    let mut seen = Unique::default();
    for (index, port) in ports.iter().enumerate() {
        let path = at.index(index);
        seen.check(port.text("name"), &path.child("name"), errors);
        super::common::optional(port, "name", names::dns1123_label, &path, errors);
        one_of(port, "protocol", PROTOCOLS, &path, errors);
        app_protocol(port, &path, errors);
    }
}

fn slice_endpoint(
    endpoint: &Value,
    rule: fn(&str) -> names::Messages,
    path: &Path<'_>,
    errors: &mut FieldErrors,
) {
    let addresses = endpoint.items("addresses");
    let at = path.child("addresses");
    match addresses.len() {
        0 => errors.required(&at, "must contain at least 1 address"),
        count if count > 100 => errors.too_many(&at, count, 100),
        _ => {}
    }
    for (index, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
        invalid_each(&at.index(index), address, rule(address), errors);
    }
    super::common::optional(endpoint, "nodeName", names::dns1123_subdomain, path, errors);
    super::common::optional(endpoint, "hostname", names::dns1123_label, path, errors);
    let at = path.child("hints.forZones");
    for (index, zone) in endpoint.items("hints.forZones").iter().enumerate() {
        named(zone, "name", names::label_value, &at.index(index), errors);
    }
}
