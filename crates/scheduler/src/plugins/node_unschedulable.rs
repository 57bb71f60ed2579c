//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use crate::framework::{CycleState, Event, Filter, Hint, Kinds, Plugin, Rejection, Verdict};
use crate::labels;
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "NodeUnschedulable";
const REASON: &str = "node(s) were unschedulable";

pub(super) struct NodeUnschedulable;

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::NODE_ADD | Kinds::NODE_TAINT | Kinds::POD_TOLERATIONS
    }

    fn hint(&self, _: &PodInfo, event: &Event<'_>) -> Hint {
        let cordoned = event
            .node
            .is_some_and(|node| node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true));
        Hint::queue_if(!cordoned)
    }
}

impl Filter for NodeUnschedulable {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if !node.is_unschedulable() || tolerates(pod) {
            return Ok(());
        }
        Err(Rejection::unresolvable(NAME, REASON))
    }
}

fn tolerates(pod: &PodInfo) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    pod.tolerations().iter().any(|toleration| labels::tolerates(toleration, &taint))
}
