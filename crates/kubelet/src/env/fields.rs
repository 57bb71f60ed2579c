//! Fields and resources of a pod as text, for variables and downward API files.
//!
//! Upstream: pkg/fieldpath and pkg/api/v1/resource.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use crate::pods;
use crate::quantity::milli;

/// What the node adds to the pod's own fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFields {
    pub host_ips: Vec<String>,
    pub pod_ips: Vec<String>,
    pub allocatable_cpu_milli: u64,
    pub allocatable_memory: u64,
    pub allocatable_storage: u64,
}

/// The value of a field path, `None` if there is no such field.
pub(crate) fn field(pod: &Pod, path: &str, node: &NodeFields) -> Option<String> {
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.annotations" => pod.metadata.annotations.as_ref(),
            "metadata.labels" => pod.metadata.labels.as_ref(),
            _ => return None,
        };
        return Some(map.and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let spec = pods::spec(pod);
    Some(match path {
        "metadata.name" => pods::name(pod).into(),
        "metadata.namespace" => pods::namespace(pod).into(),
        "metadata.uid" => pods::uid(pod).into(),
        "metadata.labels" => lines(pod.metadata.labels.as_ref()),
        "metadata.annotations" => lines(pod.metadata.annotations.as_ref()),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "spec.schedulerName" => spec.scheduler_name.clone().unwrap_or_default(),
        "status.hostIP" => node.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => node.host_ips.join(","),
        "status.podIP" => node.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => node.pod_ips.join(","),
        _ => return None,
    })
}

/// `metadata.labels['a']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(k, v)| format!("{k}={}", quote(v))).collect();
    lines.join("\n")
}

/// As Go's %q for what appears in labels and annotations.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The value of `limits.cpu` and its like, in units of the divisor, rounded up.
pub(crate) fn resource(
    container: &Container,
    selector: &ResourceFieldSelector,
    node: &NodeFields,
) -> Option<String> {
    let (kind, name) = selector.resource.split_once('.')?;
    let resources = container.resources.clone().unwrap_or_default();
    let of = |map: Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
        map.and_then(|m| m.get(name).map(milli)).filter(|m| *m > 0)
    };
    let value = match kind {
        // Without a limit the node's allocatable is the limit.
        "limits" => of(resources.limits).unwrap_or_else(|| allocatable(name, node)),
        "requests" => of(resources.requests).unwrap_or(0),
        _ => return None,
    };
    let divisor = selector.divisor.as_ref().map(milli).filter(|d| *d > 0).unwrap_or(1000);
    Some(((value + divisor - 1) / divisor).to_string())
}

fn allocatable(name: &str, node: &NodeFields) -> i128 {
    match name {
        "cpu" => i128::from(node.allocatable_cpu_milli),
        "memory" => i128::from(node.allocatable_memory) * 1000,
        "ephemeral-storage" => i128::from(node.allocatable_storage) * 1000,
        _ => 0,
    }
}
