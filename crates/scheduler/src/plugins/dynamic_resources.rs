//! DynamicResources: resource claims. Claims are not allocated yet: a pod that has any waits, and is told so.

use crate::cache::Snapshot;
use crate::framework::{
    CycleState, Kinds, Plugin, PostFilter, PostFilterInput, PreFilter, PreFiltered, Preemption, Rejection,
};
use crate::pod_info::PodInfo;

const NAME: &str = "DynamicResources";

pub(super) struct DynamicResources;

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cures(&self) -> Kinds {
        Kinds::POD_OTHER
    }
}

impl PreFilter for DynamicResources {
    fn pre_filter(&self, _: &mut CycleState, pod: &PodInfo, _: &Snapshot) -> Result<PreFiltered, Rejection> {
        let claims = pod.spec().and_then(|spec| spec.resource_claims.as_ref());
        if claims.is_none_or(Vec::is_empty) {
            return Ok(PreFiltered::Skip);
        }
        Err(Rejection::unresolvable(NAME, "resource claims cannot be allocated by this scheduler"))
    }
}

impl PostFilter for DynamicResources {
    /// Upstream says so of every pod that fits nowhere, also of those without claims.
    fn post_filter(&self, _: &PostFilterInput<'_>) -> Result<Preemption, Rejection> {
        Err(Rejection::unschedulable(NAME, "no new claims to deallocate"))
    }
}
