//! NodeName: a pod that names its node goes there.

use crate::framework::{CycleState, Filter, Kinds, Plugin, Rejection, Verdict};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "NodeName";
const REASON: &str = "node(s) didn't match the requested node name";

pub(super) struct NodeName;

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::NODE_ADD
    }
}

impl Filter for NodeName {
    fn filter(&self, _: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match pod.node_name() {
            Some(name) if name != node.name => Err(Rejection::unresolvable(NAME, REASON)),
            _ => Ok(()),
        }
    }
}
