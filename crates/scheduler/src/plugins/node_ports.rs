//! NodePorts: a port of the node serves one pod.

use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Event, Filter, Hint, Kinds, Plugin, PreFilter, PreFiltered, Rejection, Verdict,
};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "NodePorts";
const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

pub(super) struct NodePorts;

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::ASSIGNED_POD_DELETE | Kinds::NODE_ADD
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        Hint::queue_if(event.pod.is_none_or(|gone| conflicts(pod, &gone.host_ports)))
    }
}

impl PreFilter for NodePorts {
    fn pre_filter(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot) -> Result<PreFiltered, Rejection> {
        Ok(if pod.host_ports.is_empty() { PreFiltered::Skip } else { PreFiltered::AllNodes })
    }
}

impl Filter for NodePorts {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        if conflicts(pod, &node.used_ports) {
            return Err(Rejection::unschedulable(NAME, REASON));
        }
        Ok(())
    }
}

fn conflicts(pod: &PodInfo, used: &[crate::pod_info::HostPort]) -> bool {
    pod.host_ports.iter().any(|port| used.iter().any(|used| port.conflicts_with(used)))
}
