//! A pod with what the scheduler needs of it, worked out once.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::Key;
use k8s_openapi::api::core::v1::{Affinity, Pod, PodSpec, Toleration};

use crate::resources::{self, Resources};
use crate::terms::Terms;

/// A port of the node that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    const ANY: &str = "0.0.0.0";

    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == Self::ANY || other.ip == Self::ANY)
    }
}

/// A pod, prepared.
#[derive(Clone, Debug)]
pub struct PodInfo {
    pub pod: Arc<Pod>,
    pub key: Key,
    pub uid: String,
    pub priority: i32,
    /// What it asks for.
    pub requests: Resources,
    /// What it counts for when nodes are ranked: as asked for, or a default.
    pub counted: Resources,
    pub host_ports: Vec<HostPort>,
    /// The claims that it uses.
    pub claims: Vec<Key>,
    /// What it says about other pods, if anything.
    pub(crate) terms: Option<Arc<Terms>>,
}

impl PodInfo {
    pub fn new(pod: Arc<Pod>) -> Self {
        let (requests, counted) = resources::of_pod(&pod);
        let spec = pod.spec.as_ref();
        let key = Key::of(&*pod);
        let affinity = spec.and_then(|spec| spec.affinity.as_ref());
        let terms = affinity.map(|affinity| Terms::new(&key.namespace, affinity));
        Self {
            claims: claims::claim_names(&pod).map(|name| Key::new(key.namespace.clone(), name)).collect(),
            terms: terms.filter(|terms| !terms.is_empty()).map(Arc::new),
            key,
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            priority: spec.and_then(|spec| spec.priority).unwrap_or(0),
            requests,
            counted,
            host_ports: spec.map(host_ports).unwrap_or_default(),
            pod,
        }
    }

    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.pod.metadata.labels.as_ref()
    }

    pub fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }

    pub fn affinity(&self) -> Option<&Affinity> {
        self.spec()?.affinity.as_ref()
    }

    pub fn tolerations(&self) -> &[Toleration] {
        self.spec().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
    }

    pub fn scheduler_name(&self) -> &str {
        let name = self.spec().and_then(|spec| spec.scheduler_name.as_deref());
        name.filter(|name| !name.is_empty()).unwrap_or(crate::config::DEFAULT_SCHEDULER)
    }

    /// The node that the pod is on, if any.
    pub fn node_name(&self) -> Option<&str> {
        self.spec()?.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// The node that is being cleared for the pod.
    pub fn nominated_node(&self) -> Option<&str> {
        self.pod.status.as_ref()?.nominated_node_name.as_deref().filter(|name| !name.is_empty())
    }

    pub fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars =
        spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let containers = spec.containers.iter().chain(sidecars);
    containers
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty());
            Some(HostPort {
                ip: ip.unwrap_or_else(|| HostPort::ANY.to_owned()),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: number,
            })
        })
        .collect()
}
