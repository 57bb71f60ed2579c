//! Small questions that everybody asks a Pod.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, ObjectReference, Pod, PodSpec};
use kube::Resource;

/// Marks the API object that mirrors a static pod.
pub(crate) const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";

/// A static pod's identity, which its mirror names.
pub(crate) const CONFIG_HASH: &str = "kubernetes.io/config.hash";
const CONFIG_SOURCE: &str = "kubernetes.io/config.source";

/// A pod's UID; the key of everything that the kubelet keeps about it.
pub(crate) type Uid = String;

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// `name_namespace(uid)`, as the kubelet's messages name a pod.
pub(crate) fn described(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

pub(crate) fn annotations(pod: &Pod) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    pod.metadata.annotations.as_ref().unwrap_or(&NONE)
}

/// The spec; a pod that came from the API always has one.
pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    static NONE: std::sync::OnceLock<PodSpec> = std::sync::OnceLock::new();
    pod.spec.as_ref().unwrap_or_else(|| NONE.get_or_init(PodSpec::default))
}

pub(crate) fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

pub(crate) fn ephemeral_containers(pod: &Pod) -> &[EphemeralContainer] {
    spec(pod).ephemeral_containers.as_deref().unwrap_or_default()
}

pub(crate) fn containers(pod: &Pod) -> &[Container] {
    &spec(pod).containers
}

/// An init container that keeps running beside the others: a sidecar.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

pub(crate) fn restart_policy(pod: &Pod) -> &str {
    spec(pod).restart_policy.as_deref().unwrap_or("Always")
}

pub(crate) fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

pub(crate) fn is_mirror(pod: &Pod) -> bool {
    annotations(pod).contains_key(CONFIG_MIRROR)
}

/// From a manifest of this node, not from the API.
pub(crate) fn is_static(pod: &Pod) -> bool {
    annotations(pod).get(CONFIG_SOURCE).is_some_and(|source| source != "api") && !is_mirror(pod)
}

pub(crate) fn deletion_requested(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.deletion_timestamp.as_ref().map(|time| time.0)
}

/// Seconds that a pod has to stop in: the deletion's, else the spec's, at least one.
pub(crate) fn grace_seconds(pod: &Pod) -> i64 {
    let asked = pod.metadata.deletion_grace_period_seconds;
    asked.or(spec(pod).termination_grace_period_seconds).unwrap_or(30).max(1)
}

/// Whether the API already holds a final phase.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// A reference to one container, for its events: `spec.containers{name}`.
pub(crate) fn container_reference(pod: &Pod, container: &str) -> ObjectReference {
    let kind = if containers(pod).iter().any(|c| c.name == container) {
        "containers"
    } else if init_containers(pod).iter().any(|c| c.name == container) {
        "initContainers"
    } else {
        "ephemeralContainers"
    };
    ObjectReference { field_path: Some(format!("spec.{kind}{{{container}}}")), ..reference(pod) }
}

pub(crate) fn reference(pod: &Pod) -> ObjectReference {
    pod.object_ref(&())
}

/// A container of any kind by name; ephemeral ones in the shape of ordinary ones.
pub(crate) fn find_container(pod: &Pod, name: &str) -> Option<Container> {
    let ordinary = containers(pod).iter().chain(init_containers(pod)).find(|c| c.name == name).cloned();
    ordinary.or_else(|| ephemeral_containers(pod).iter().find(|c| c.name == name).map(from_ephemeral))
}

pub(crate) fn from_ephemeral(container: &EphemeralContainer) -> Container {
    let container = container.clone();
    Container {
        name: container.name,
        args: container.args,
        command: container.command,
        env: container.env,
        env_from: container.env_from,
        image: container.image,
        image_pull_policy: container.image_pull_policy,
        security_context: container.security_context,
        stdin: container.stdin,
        stdin_once: container.stdin_once,
        termination_message_path: container.termination_message_path,
        termination_message_policy: container.termination_message_policy,
        tty: container.tty,
        volume_mounts: container.volume_mounts,
        working_dir: container.working_dir,
        ..Container::default()
    }
}
