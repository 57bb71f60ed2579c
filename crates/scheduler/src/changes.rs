//! What kind of event a change of an object is.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::framework::Kinds;
use crate::pod_info::PodInfo;
use crate::resources::Resources;

/// Whether the pod has ended, and no longer counts.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

pub(crate) fn is_assigned(pod: &Pod) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.is_some_and(|node| !node.is_empty())
}

pub(crate) fn of_node(old: Option<&Node>, new: &Node) -> Kinds {
    let Some(old) = old else { return Kinds::NODE_ADD };
    let (old_spec, new_spec) = (old.spec.as_ref(), new.spec.as_ref());
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    let mut kinds = Kinds::NONE;
    let mut note = |changed: bool, kind: Kinds| {
        if changed {
            kinds = kinds | kind;
        }
    };
    note(allocatable(old) != allocatable(new), Kinds::NODE_ALLOCATABLE);
    note(old.metadata.labels != new.metadata.labels, Kinds::NODE_LABEL);
    let taints =
        old_spec.and_then(|spec| spec.taints.as_ref()) != new_spec.and_then(|spec| spec.taints.as_ref());
    let cordon = old_spec.and_then(|spec| spec.unschedulable) != new_spec.and_then(|spec| spec.unschedulable);
    note(taints || cordon, Kinds::NODE_TAINT);
    kinds
}

/// `old` is none for a pod that was not on its node before.
pub(crate) fn of_placed(old: Option<&PodInfo>, new: &PodInfo) -> Kinds {
    let Some(old) = old else { return Kinds::ASSIGNED_POD_ADD };
    let mut kinds = Kinds::NONE;
    if old.pod.metadata.labels != new.pod.metadata.labels {
        kinds = kinds | Kinds::ASSIGNED_POD_LABEL;
    }
    if asks_less(&old.requests, &new.requests) {
        kinds = kinds | Kinds::ASSIGNED_POD_SCALE_DOWN;
    }
    kinds
}

/// Of a pod that waits for a node.
pub(crate) fn of_waiting(old: &Pod, new: &PodInfo) -> Kinds {
    let old = PodInfo::new(std::sync::Arc::new(old.clone()));
    let spec = |pod: &PodInfo| pod.spec().cloned().unwrap_or_default();
    let (old_spec, new_spec) = (spec(&old), spec(new));
    let mut kinds = Kinds::NONE;
    let mut note = |changed: bool, kind: Kinds| {
        if changed {
            kinds = kinds | kind;
        }
    };
    note(old.pod.metadata.labels != new.pod.metadata.labels, Kinds::POD_LABEL);
    note(old_spec.tolerations != new_spec.tolerations, Kinds::POD_TOLERATIONS);
    note(old_spec.scheduling_gates != new_spec.scheduling_gates, Kinds::POD_GATES);
    note(asks_less(&old.requests, &new.requests), Kinds::POD_SCALE_DOWN);
    note(old_spec != new_spec, Kinds::POD_OTHER);
    kinds
}

fn asks_less(old: &Resources, new: &Resources) -> bool {
    let names =
        ["cpu", "memory", "ephemeral-storage"].into_iter().chain(old.scalar.keys().map(String::as_str));
    names.into_iter().any(|name| new.get(name) < old.get(name))
}
