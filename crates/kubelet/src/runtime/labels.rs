//! Labels and annotations by which a container is known again after the kubelet restarted.
//!
//! Upstream: pkg/kubelet/kuberuntime/labels.go and k8s.io/kubelet types; equal to the letter, so that this kubelet
//! adopts upstream's containers and the other way round.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::json;

use crate::pods;

pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub(crate) const HASH: &str = "io.kubernetes.container.hash";
pub(crate) const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
const DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
const PORTS: &str = "io.kubernetes.container.ports";
const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";

/// Labels of a sandbox: the pod's own and the pod's identity.
pub(crate) fn pod_labels(pod: &Pod) -> BTreeMap<String, String> {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    labels.insert(POD_NAME.into(), pods::name(pod).into());
    labels.insert(POD_NAMESPACE.into(), pods::namespace(pod).into());
    labels.insert(POD_UID.into(), pods::uid(pod).into());
    labels
}

pub(crate) fn container_labels(pod: &Pod, container: &Container) -> BTreeMap<String, String> {
    BTreeMap::from([
        (POD_NAME.into(), pods::name(pod).into()),
        (POD_NAMESPACE.into(), pods::namespace(pod).into()),
        (POD_UID.into(), pods::uid(pod).into()),
        (CONTAINER_NAME.into(), container.name.clone()),
    ])
}

pub(crate) fn container_annotations(
    pod: &Pod,
    container: &Container,
    restarts: i32,
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([
        (HASH.to_owned(), hash(container)),
        (RESTART_COUNT.to_owned(), restarts.to_string()),
        (TERMINATION_PATH.to_owned(), container.termination_message_path.clone().unwrap_or_default()),
        (TERMINATION_POLICY.to_owned(), container.termination_message_policy.clone().unwrap_or_default()),
    ]);
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            annotations.insert(key.to_owned(), value);
        }
    };
    add(GRACE, pods::spec(pod).termination_grace_period_seconds.map(|s| s.to_string()));
    add(DELETION_GRACE, pod.metadata.deletion_grace_period_seconds.map(|s| s.to_string()));
    let pre_stop = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
    add(PRE_STOP, pre_stop.map(|handler| json!(handler).to_string()));
    let ports = container.ports.as_ref().filter(|ports| !ports.is_empty());
    add(PORTS, ports.map(|ports| json!(ports).to_string()));
    annotations
}

/// The part of a container that cannot change without a restart: its name and image.
///
/// Upstream: kubecontainer.HashContainer, FNV-1a of 32 bits over the picked fields as JSON.
pub(crate) fn hash(container: &Container) -> String {
    let mut picked = BTreeMap::from([("name", container.name.as_str())]);
    if let Some(image) = container.image.as_deref() {
        picked.insert("image", image);
    }
    let text = json!(picked).to_string();
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:x}")
}

/// Whether the last words may be taken from the log.
pub(crate) fn falls_back_to_logs(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(TERMINATION_POLICY).is_some_and(|policy| policy == "FallbackToLogsOnError")
}

pub(crate) fn termination_path(annotations: &BTreeMap<String, String>) -> Option<&str> {
    annotations.get(TERMINATION_PATH).map(String::as_str).filter(|path| !path.is_empty())
}
