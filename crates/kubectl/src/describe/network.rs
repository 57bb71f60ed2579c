//! Services and ingresses.

use serde_json::Value;

use super::Page;
use super::page::{items, or_none, plain, selector, text_at};
use crate::context::Context;
use crate::error::Result;
use crate::resources::{Info, Wanted, list_all};

pub async fn service(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    page.field(0, "Name", &info.name);
    page.field(0, "Namespace", info.namespace.as_deref().unwrap_or(""));
    page.labels(metadata);
    page.field(0, "Selector", selector(&spec["selector"]));
    page.field(0, "Type", text_at(spec, "type"));
    if spec["ipFamilyPolicy"].is_string() {
        page.field(0, "IP Family Policy", text_at(spec, "ipFamilyPolicy"));
    }
    let joined = |list: &Value| items(list).filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    if spec["ipFamilies"].is_array() {
        page.field(0, "IP Families", joined(&spec["ipFamilies"]));
    } else {
        page.field(0, "IP Families", "<none>");
    }
    page.field(0, "IP", text_at(spec, "clusterIP"));
    page.field(0, "IPs", or_none(&joined(&spec["clusterIPs"])));
    if spec["externalIPs"].is_array() {
        page.field(0, "External IPs", joined(&spec["externalIPs"]));
    }
    if !text_at(spec, "loadBalancerIP").is_empty() {
        page.field(0, "Desired LoadBalancer IP", text_at(spec, "loadBalancerIP"));
    }
    if !text_at(spec, "externalName").is_empty() {
        page.field(0, "External Name", text_at(spec, "externalName"));
    }
    let ingress: Vec<String> = items(&status["loadBalancer"]["ingress"])
        .map(|i| {
            if text_at(i, "ip").is_empty() {
                text_at(i, "hostname").to_owned()
            } else {
                format!(
                    "{} ({})",
                    text_at(i, "ip"),
                    if text_at(i, "ipMode").is_empty() { "VIP" } else { text_at(i, "ipMode") }
                )
            }
        })
        .collect();
    if !ingress.is_empty() {
        page.field(0, "LoadBalancer Ingress", ingress.join(", "));
    }
    ports(cx, page, info).await?;
    page.field(0, "Session Affinity", text_at(spec, "sessionAffinity"));
    for (title, field) in [
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
        ("TrafficDistribution", "trafficDistribution"),
    ] {
        if !text_at(spec, field).is_empty() {
            page.field(0, title, text_at(spec, field));
        }
    }
    let ranges = joined(&spec["loadBalancerSourceRanges"]);
    if !ranges.is_empty() {
        page.field(0, "LoadBalancer Source Ranges", ranges);
    }
    Ok(())
}

async fn ports(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let resource = cx.resource("endpointslices.discovery.k8s.io").await?;
    let wanted = Wanted { labels: format!("kubernetes.io/service-name={}", info.name), ..Wanted::default() };
    let slices = list_all(cx, &resource, info.namespace.as_deref(), &wanted).await?;
    for port in items(&info.object["spec"]["ports"]) {
        let name = if text_at(port, "name").is_empty() { "<unset>" } else { text_at(port, "name") };
        let protocol = text_at(port, "protocol");
        page.line(0, format!("Port:\t{name}\t{}/{protocol}", plain(&port["port"])));
        page.line(0, format!("TargetPort:\t{}/{protocol}", plain(&port["targetPort"])));
        if port["nodePort"].as_i64().unwrap_or(0) != 0 {
            page.line(0, format!("NodePort:\t{name}\t{}/{protocol}", plain(&port["nodePort"])));
        }
        page.line(0, format!("Endpoints:\t{}", endpoints(&slices, text_at(port, "name"))));
    }
    Ok(())
}

/// At most three addresses, and how many more there are.
fn endpoints(slices: &[Info], name: &str) -> String {
    let mut all = Vec::new();
    for slice in slices {
        for port in items(&slice.object["ports"]).filter(|port| text_at(port, "name") == name) {
            let ready =
                items(&slice.object["endpoints"]).filter(|endpoint| endpoint["conditions"]["ready"] != false);
            for address in ready.flat_map(|endpoint| items(&endpoint["addresses"])) {
                all.push(format!("{}:{}", address.as_str().unwrap_or(""), plain(&port["port"])));
            }
        }
    }
    let shown = all.iter().take(3).cloned().collect::<Vec<_>>().join(",");
    if all.len() > 3 { format!("{shown} + {} more...", all.len() - 3) } else { shown }
}

pub fn ingress(page: &mut Page, info: &Info) {
    let (metadata, spec) = (&info.object["metadata"], &info.object["spec"]);
    page.field(0, "Name", &info.name);
    page.pairs("", "Labels", &metadata["labels"], "=");
    page.field(0, "Namespace", info.namespace.as_deref().unwrap_or(""));
    let addresses: Vec<&str> = items(&info.object["status"]["loadBalancer"]["ingress"])
        .map(|i| if text_at(i, "ip").is_empty() { text_at(i, "hostname") } else { text_at(i, "ip") })
        .collect();
    page.field(0, "Address", addresses.join(","));
    page.field(0, "Ingress Class", or_none(text_at(spec, "ingressClassName")));
    let default = if spec["defaultBackend"].is_object() {
        backend(&spec["defaultBackend"])
    } else {
        "<default>".into()
    };
    page.field(0, "Default backend", default);
    if spec["tls"].is_array() {
        page.line(0, "TLS:");
        for entry in items(&spec["tls"]) {
            let hosts = items(&entry["hosts"]).filter_map(Value::as_str).collect::<Vec<_>>().join(",");
            match text_at(entry, "secretName") {
                "" => page.line(1, format!("SNI routes {hosts}")),
                secret => page.line(1, format!("{secret} terminates {hosts}")),
            }
        }
    }
    page.line(0, "Rules:\n  Host\tPath\tBackends\n  ----\t----\t--------");
    for rule in items(&spec["rules"]) {
        page.line(
            1,
            format!("{}\t", if text_at(rule, "host").is_empty() { "*" } else { text_at(rule, "host") }),
        );
        for path in items(&rule["http"]["paths"]) {
            page.line(2, format!("\t{} \t{}", text_at(path, "path"), backend(&path["backend"])));
        }
    }
    page.annotations(metadata);
}

fn backend(backend: &Value) -> String {
    let service = &backend["service"];
    let port = if service["port"]["number"].is_number() {
        plain(&service["port"]["number"])
    } else {
        text_at(&service["port"], "name").to_owned()
    };
    format!("{}:{port}", text_at(service, "name"))
}
