//! Services, endpoints and ingresses.

use super::text::{first_and_more, join_strings, label_selector, labels, or_none};
use super::{Context, text_or};
use crate::access::Access;
use serde_json::Value;

pub(crate) fn service_cluster_ip(service: &Value, _: Context) -> Value {
    match service.items("spec.clusterIPs").first() {
        Some(first) => first.clone(),
        None => text_or(service, "spec.clusterIP", "<none>"),
    }
}

pub(crate) fn service_external_ip(service: &Value, _: Context) -> Value {
    let external = join_strings(service.items("spec.externalIPs"), ",");
    match service.text("spec.type") {
        "ClusterIP" | "NodePort" => or_none(external),
        "LoadBalancer" => {
            let mut all = [addresses(service), external].to_vec();
            all.retain(|text| !text.is_empty());
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        "ExternalName" => service.text("spec.externalName").into(),
        _ => "<unknown>".into(),
    }
    .into()
}

pub(crate) fn service_ports(service: &Value, _: Context) -> Value {
    let port = |port: &Value| match port.int("nodePort") {
        0 => format!("{}/{}", port.int("port"), port.text("protocol")),
        node_port => format!("{}:{node_port}/{}", port.int("port"), port.text("protocol")),
    };
    or_none(service.items("spec.ports").iter().map(port).collect::<Vec<_>>().join(",")).into()
}

/// The addresses of a load balancer, as Service and Ingress state them.
fn addresses(object: &Value) -> String {
    let one = |ingress: &Value| match ingress.text("ip") {
        "" => ingress.text("hostname").to_owned(),
        ip => ip.to_owned(),
    };
    let mut list: Vec<String> = object.items("status.loadBalancer.ingress").iter().map(one).collect();
    list.retain(|text| !text.is_empty());
    list.sort();
    list.dedup();
    list.join(",")
}

pub(crate) fn load_balancer_addresses(object: &Value, _: Context) -> Value {
    addresses(object).into()
}

pub(crate) fn endpoints(object: &Value, _: Context) -> Value {
    let mut list = Vec::new();
    for subset in object.items("subsets") {
        let ports = subset.items("ports");
        let ips = || subset.items("addresses").iter().map(|address| address.text("ip"));
        if ports.is_empty() {
            list.extend(ips().map(str::to_owned));
        }
        for port in ports {
            list.extend(ips().map(|ip| host_port(ip, port.int("port"))));
        }
    }
    or_none(first_and_more(&list, 3, ",")).into()
}

fn host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

pub(crate) fn slice_ports(slice: &Value, _: Context) -> Value {
    let one = |port: &Value| match (port.int_at("port"), port.text("name")) {
        (Some(number), _) => number.to_string(),
        (None, "") => "*".into(),
        (None, name) => name.into(),
    };
    unset_or_list(slice.items("ports").iter().map(one).collect())
}

pub(crate) fn slice_endpoints(slice: &Value, _: Context) -> Value {
    let all = slice.items("endpoints").iter().flat_map(|endpoint| endpoint.items("addresses"));
    unset_or_list(all.filter_map(Value::as_str).map(str::to_owned).collect())
}

fn unset_or_list(list: Vec<String>) -> Value {
    if list.is_empty() { "<unset>".into() } else { first_and_more(&list, 3, ",").into() }
}

pub(crate) fn ingress_class(ingress: &Value, _: Context) -> Value {
    text_or(ingress, "spec.ingressClassName", "<none>")
}

pub(crate) fn ingress_hosts(ingress: &Value, _: Context) -> Value {
    let hosts: Vec<String> = ingress
        .items("spec.rules")
        .iter()
        .map(|rule| rule.text("host").to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    if hosts.is_empty() { "*".into() } else { first_and_more(&hosts, 3, ",").into() }
}

pub(crate) fn ingress_ports(ingress: &Value, _: Context) -> Value {
    if ingress.items("spec.tls").is_empty() { "80" } else { "80, 443" }.into()
}

pub(crate) fn ingress_class_parameters(class: &Value, _: Context) -> Value {
    let Some(parameters) = class.at("spec.parameters") else { return "<none>".into() };
    let group = match parameters.text("apiGroup") {
        "" => String::new(),
        group => format!(".{group}"),
    };
    format!("{}{group}/{}", parameters.text("kind"), parameters.text("name")).into()
}

pub(crate) fn pod_selector(policy: &Value, _: Context) -> Value {
    label_selector(policy.at("spec.podSelector")).into()
}

pub(crate) fn service_cidrs(object: &Value, _: Context) -> Value {
    join_strings(object.items("spec.cidrs"), ",").into()
}

pub(crate) fn ip_parent(address: &Value, _: Context) -> Value {
    let Some(parent) = address.at("spec.parentRef") else { return "<none>".into() };
    let mut text = parent.text("resource").to_owned();
    for (separator, field) in [(".", "group"), ("/", "namespace"), ("/", "name")] {
        if !parent.text(field).is_empty() {
            text += separator;
            text += parent.text(field);
        }
    }
    text.into()
}

/// The selector of a workload or a Service: a LabelSelector or a plain map.
pub(crate) fn selector(object: &Value, _: Context) -> Value {
    match object.at("spec.selector") {
        Some(found) if found.has("matchLabels") || found.has("matchExpressions") => {
            label_selector(Some(found))
        }
        _ => labels(object.map("spec.selector")),
    }
    .into()
}
