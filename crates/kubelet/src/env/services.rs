//! The variables that tell a container where services are.
//!
//! Upstream: pkg/kubelet/envvars.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// Services of the pod's namespace, and `kubernetes` of `default` in every pod; in upstream's order.
pub(crate) fn variables(services: &[Arc<Service>], namespace: &str, links: Links) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for service in services {
        let meta = &service.metadata;
        let (of, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let master = of == "default" && name == "kubernetes";
        let linked = of == namespace && links == Links::All;
        if master || linked {
            of_service(name, service, &mut out);
        }
    }
    out
}

/// enableServiceLinks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    All,
    MasterOnly,
}

fn of_service(name: &str, service: &Service, out: &mut Vec<(String, String)>) {
    let Some(spec) = &service.spec else { return };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    let prefix = upper(name);
    out.push((format!("{prefix}_SERVICE_HOST"), ip.to_owned()));
    out.push((format!("{prefix}_SERVICE_PORT"), first.port.to_string()));
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            out.push((format!("{prefix}_SERVICE_PORT_{}", upper(name)), port.port.to_string()));
        }
    }
    links(&prefix, ip, ports, out);
}

/// The variables that Docker's links once made.
fn links(prefix: &str, ip: &str, ports: &[ServicePort], out: &mut Vec<(String, String)>) {
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let url = format!("{lower}://{host}:{}", port.port);
        if index == 0 {
            out.push((format!("{prefix}_PORT"), url.clone()));
        }
        let one = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        out.push((one.clone(), url));
        out.push((format!("{one}_PROTO"), lower));
        out.push((format!("{one}_PORT"), port.port.to_string()));
        out.push((format!("{one}_ADDR"), ip.to_owned()));
    }
}

fn upper(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}
