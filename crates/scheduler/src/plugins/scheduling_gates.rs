//! SchedulingGates: a pod with gates waits until somebody takes them away.

use crate::framework::{Kinds, Plugin, PreEnqueue, Rejection, Verdict};
use crate::pod_info::PodInfo;

const NAME: &str = "SchedulingGates";

pub(super) struct SchedulingGates;

impl Plugin for SchedulingGates {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::POD_GATES
    }
}

impl PreEnqueue for SchedulingGates {
    fn pre_enqueue(&self, pod: &PodInfo) -> Verdict {
        let gates = pod.spec().and_then(|spec| spec.scheduling_gates.as_deref()).unwrap_or_default();
        if gates.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = gates.iter().map(|gate| gate.name.as_str()).collect();
        let reason = format!("waiting for scheduling gates: [{}]", names.join(" "));
        Err(Rejection::unresolvable(NAME, reason))
    }
}
