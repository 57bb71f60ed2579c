//! Which pods cannot leave without breaking a disruption budget.

use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::pod_info::PodInfo;
use crate::selector::Selector;

/// A budget, its selector compiled.
pub(super) struct Budget {
    namespace: String,
    selector: Selector,
    allowed: i32,
    /// Pods whose eviction has been counted already.
    disrupted: Vec<String>,
}

impl Budget {
    pub fn new(budget: &PodDisruptionBudget) -> Self {
        let status = budget.status.as_ref();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
        Self {
            namespace: budget.metadata.namespace.clone().unwrap_or_default(),
            selector: Selector::of(budget.spec.as_ref().and_then(|spec| spec.selector.as_ref())),
            allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or(0),
            disrupted: disrupted.into_iter().flat_map(|pods| pods.keys().cloned()).collect(),
        }
    }

    fn covers(&self, pod: &PodInfo) -> bool {
        self.namespace == pod.key.namespace
            && !self.selector.picks_everything()
            && self.selector.picks(pod.labels())
            && !self.disrupted.contains(&pod.key.name)
    }
}

/// Splits the pods, in their order, into those that would break a budget if all before them left too, and the others.
pub(super) fn split(pods: Vec<Arc<PodInfo>>, budgets: &[Budget]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut left: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    pods.into_iter().partition(|pod| {
        // A pod without labels is in no budget.
        if pod.labels().is_none_or(|labels| labels.is_empty()) {
            return false;
        }
        let mut breaks = false;
        for (_, left) in budgets.iter().zip(&mut left).filter(|(budget, _)| budget.covers(pod)) {
            *left -= 1;
            breaks |= *left < 0;
        }
        breaks
    })
}
