//! PodTopologySpread: pods of a group spread evenly over domains, as a must or as a wish.
//!
//! Upstream: plugins/podtopologyspread. Differs: pods are counted once for all pods of a group ([`crate::cache`]).

mod constraint;
mod filter;
mod score;

use crate::config::{PluginArgs, SpreadDefaults};
use crate::framework::{Event, Hint, Kinds, Plugin};
use crate::pod_info::PodInfo;
use crate::sources::Sources;

const NAME: &str = "PodTopologySpread";
const REASON: &str = "node(s) didn't match pod topology spread constraints";
const REASON_NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

pub(super) struct PodTopologySpread {
    defaults: SpreadDefaults,
    sources: Sources,
}

impl PodTopologySpread {
    pub(super) fn new(args: &PluginArgs, sources: &Sources) -> Self {
        Self { defaults: args.spread_defaults.clone(), sources: sources.clone() }
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::ASSIGNED_POD_ADD
            | Kinds::ASSIGNED_POD_DELETE
            | Kinds::ASSIGNED_POD_LABEL
            | Kinds::NODE_ADD
            | Kinds::NODE_DELETE
            | Kinds::NODE_LABEL
            | Kinds::NODE_TAINT
            | Kinds::POD_LABEL
            | Kinds::POD_TOLERATIONS
    }

    fn hint(&self, pod: &PodInfo, event: &Event<'_>) -> Hint {
        let constraints = self.hard(pod);
        if let Some(other) = event.pod {
            // A pod that lost its labels is known by the new ones only: it may have counted before.
            let relabeled = event.kinds.intersects(Kinds::ASSIGNED_POD_LABEL);
            let same = other.key.namespace == pod.key.namespace;
            let counts = constraints.iter().any(|constraint| constraint.selector.picks(other.labels()));
            return Hint::queue_if(same && (relabeled || counts));
        }
        let Some(node) = event.node else { return Hint::Queue };
        let relabeled = event.kinds.intersects(Kinds::NODE_LABEL);
        let labels = node.metadata.labels.as_ref();
        let has = |key: &str| labels.is_some_and(|labels| labels.contains_key(key));
        Hint::queue_if(relabeled || constraints.iter().all(|constraint| has(&constraint.key)))
    }
}
