//! What all parts of one kubelet share.

use client::{EventType, Recorder, Store};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use stdx::{Shutdown, Tasks};
use tokio::sync::{Notify, OnceCell, watch};

use crate::config::Config;
use crate::env::fields::NodeFields;
use crate::eviction::Pressure;
use crate::logs::growth::Growth;
use crate::node::capacity::Capacity;
use crate::pod::allocation::Budget;
use crate::pods;
use crate::runtime::Cri;
use crate::status_manager::Statuses;
use crate::volumes::set_up::Volumes;

pub(crate) struct Context {
    pub config: Config,
    pub cri: Cri,
    pub recorder: Recorder,
    pub tasks: Tasks,
    pub shutdown: Shutdown,
    pub volumes: Volumes,
    pub pods: Store<Pod>,
    pub services: Store<Service>,
    pub node: Store<Node>,
    pub statuses: Statuses,
    pub budget: Budget,
    /// What the node is short of, as the eviction manager saw it last.
    pub pressure: watch::Sender<Pressure>,
    pub log_growth: Growth,
    /// Told when the node's status may have changed.
    pub node_changed: Notify,
    pub capacity: Capacity,
    /// The runtime's name, known once it answered.
    pub runtime_name: OnceCell<String>,
}

impl Context {
    /// An event about the whole pod.
    pub fn pod_event(&self, pod: &Pod, kind: EventType, reason: &str, message: impl Into<String>) {
        self.recorder.event(&pods::reference(pod), kind, reason, message);
    }

    /// An event about one container.
    pub fn container_event(
        &self,
        pod: &Pod,
        container: &str,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.recorder.event(&pods::container_reference(pod, container), kind, reason, message);
    }

    pub fn host_ips(&self) -> Vec<String> {
        self.config.addresses.iter().map(ToString::to_string).collect()
    }

    pub fn node_fields(&self, pod_ips: &[String]) -> NodeFields {
        NodeFields {
            host_ips: self.host_ips(),
            pod_ips: pod_ips.to_vec(),
            allocatable_cpu_milli: self.capacity.allocatable_cpu_milli(&self.config),
            allocatable_memory: self.capacity.allocatable_memory(&self.config),
            allocatable_storage: self.capacity.storage_bytes,
        }
    }

    /// `dromon` until the runtime said otherwise.
    pub fn runtime_name(&self) -> &str {
        self.runtime_name.get().map_or("dromon", String::as_str)
    }
}
