//! Where a request is passed on to: addresses from the status of nodes and pods, and from endpoint slices.
//!
//! Upstream: pkg/kubelet/client; pkg/registry/core/{pod,service,node} `ResourceLocation`.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use stdx::Random;

use crate::ApiError;
use crate::auth::fields;

const KUBELET_PORT: u16 = 10250;
/// Which of a node's addresses is tried. Upstream: `--kubelet-preferred-address-types`, as kubeadm sets it.
const ADDRESS_TYPES: [&str; 5] = ["InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    /// TLS to whoever answers: pods have no certificates that the cluster knows.
    Https,
    /// TLS with the cluster's authority and our client certificate.
    Kubelet,
}

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// `host:port`, with brackets around IPv6.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// The HTTPS server of a node's kubelet.
pub(super) fn kubelet(node: &Value) -> Result<Endpoint, ApiError> {
    let addresses = fields::list(node, "/status/addresses");
    let of_type = |wanted: &&str| addresses.iter().find(|address| address["type"] == **wanted);
    let Some(address) = ADDRESS_TYPES.iter().find_map(of_type) else {
        let text = format!("no preferred addresses found; known addresses: {:?}", addresses.len());
        return Err(ApiError::internal(text));
    };
    Ok(Endpoint {
        scheme: Scheme::Kubelet,
        host: fields::text(address, "/address").to_owned(),
        port: kubelet_port(node),
    })
}

fn kubelet_port(node: &Value) -> u16 {
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(KUBELET_PORT)
}

/// `[scheme:]name[:port]` as in proxy paths.
///
/// Upstream: apimachinery/pkg/util/net, `SplitSchemeNamePort`.
pub(super) fn split_name(text: &str) -> Result<(Scheme, &str, &str), ApiError> {
    let (scheme, name, port) = match text.split(':').collect::<Vec<_>>()[..] {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme, name, port] => (scheme, name, port),
        _ => ("?", "", ""),
    };
    let scheme = match scheme {
        "" | "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(ApiError::bad_request(format!("invalid request {text:?}"))),
    };
    match name.is_empty() {
        true => Err(ApiError::bad_request(format!("invalid request {text:?}"))),
        false => Ok((scheme, name, port)),
    }
}

/// What stands behind `/proxy` in the path, as the client wrote it.
pub(super) fn proxied_path(path: &str) -> String {
    // "", api, v1, [namespaces, NAMESPACE,] RESOURCE, NAME, proxy
    let segments = if path.starts_with("/api/v1/namespaces/") { 8 } else { 6 };
    match path.splitn(segments + 1, '/').nth(segments) {
        Some(rest) => format!("/{rest}"),
        None => "/".to_owned(),
    }
}

/// A pod, at `port` or at the first that it declares.
pub(super) fn pod(pod: &Value, scheme: Scheme, port: &str) -> Result<Endpoint, ApiError> {
    let declared = || {
        let containers = fields::list(pod, "/spec/containers").iter();
        containers.filter_map(|container| container.pointer("/ports/0/containerPort")?.as_u64()).next()
    };
    let port = match port {
        "" => declared().and_then(|port| u16::try_from(port).ok()).unwrap_or(default_port(scheme)),
        text => parse_port(text)?,
    };
    let host = fields::text(pod, "/status/podIP").to_owned();
    check_address(&host)?;
    Ok(Endpoint { scheme, host, port })
}

/// A node's kubelet, or another port of the node.
pub(super) fn node(node: &Value, scheme: Scheme, port: &str) -> Result<Endpoint, ApiError> {
    let kubelet = kubelet(node)?;
    match port {
        "" => Ok(kubelet),
        text => {
            let port = parse_port(text)?;
            let scheme = if port == kubelet.port { Scheme::Kubelet } else { scheme };
            Ok(Endpoint { scheme, port, ..kubelet })
        }
    }
}

/// One ready endpoint of a service, chosen at random.
pub(super) fn service(
    service: &Value,
    slices: &[Arc<Value>],
    scheme: Scheme,
    port: &str,
    random: &Random,
) -> Result<Endpoint, ApiError> {
    let name = fields::name(service);
    let unavailable = |text: String| ApiError::service_unavailable(text);
    let ports = fields::list(service, "/spec/ports");
    let by_text = |candidate: &&Value| {
        candidate["name"] == port
            || candidate["port"].as_u64().is_some_and(|number| number.to_string() == port)
    };
    let chosen = match port {
        "" if ports.len() == 1 => ports.first(),
        "" => ports.iter().find(|port| fields::text(port, "/name").is_empty()),
        _ => ports.iter().find(by_text),
    };
    let Some(chosen) = chosen else {
        return Err(unavailable(format!("no service port {port:?} found for service {name:?}")));
    };
    let port_name = fields::text(chosen, "/name");
    let of_service = |slice: &&Arc<Value>| slice["metadata"]["labels"]["kubernetes.io/service-name"] == name;
    let mut ready: Vec<(&str, u16)> =
        slices.iter().filter(of_service).flat_map(|slice| ready_endpoints(slice, port_name)).collect();
    if ready.is_empty() {
        return Err(unavailable(format!("no endpoints available for service {name:?}")));
    }
    let (host, port) = ready.swap_remove(random.below(ready.len() as u64) as usize);
    check_address(host)?;
    Ok(Endpoint { scheme, host: host.to_owned(), port })
}

fn ready_endpoints<'a>(slice: &'a Value, port_name: &str) -> Vec<(&'a str, u16)> {
    let named = |port: &&Value| fields::text(port, "/name") == port_name;
    let port = fields::list(slice, "/ports").iter().find(named).and_then(|port| port["port"].as_u64());
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { return Vec::new() };
    let ready = |endpoint: &&Value| endpoint["conditions"]["ready"] != false;
    let endpoints = fields::list(slice, "/endpoints").iter().filter(ready);
    endpoints
        .flat_map(|endpoint| fields::texts(endpoint, "/addresses").map(move |host| (host, port)))
        .collect()
}

fn default_port(scheme: Scheme) -> u16 {
    if scheme == Scheme::Https { 443 } else { 80 }
}

fn parse_port(text: &str) -> Result<u16, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request(format!("invalid port {text:?}")))
}

/// The server's own loopback is nobody's to reach.
///
/// Upstream: pkg/proxy/util, `IsProxyableIP`.
fn check_address(host: &str) -> Result<(), ApiError> {
    let refused = || ApiError::bad_request("address not allowed");
    let address: IpAddr = host.parse().map_err(|_| refused())?;
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    match address.is_loopback() || link_local || address.is_multicast() || address.is_unspecified() {
        true => Err(refused()),
        false => Ok(()),
    }
}
