//! What the deployment controller reads off ReplicaSets and Deployments.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The ReplicaSets of one Deployment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    /// The one of the current template.
    pub new: Option<Arc<ReplicaSet>>,
    /// All others, oldest first.
    pub old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    pub fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(self.new.iter())
    }

    /// Pods asked for, of all sets.
    pub fn total_wanted(&self) -> i32 {
        self.all().map(|set| wanted(set)).sum()
    }

    /// Pods available, of all sets.
    pub fn total_available(&self) -> i32 {
        self.all().map(|set| available(set)).sum()
    }
}

/// The new size of a set.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub set: Arc<ReplicaSet>,
    pub to: i32,
}

pub(super) fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}

pub(super) fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

pub(super) fn existing(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

pub(super) fn desired(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// How far a rollout may go above and below the desired number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fence {
    pub surge: i32,
    pub unavailable: i32,
}

/// Percentages of the desired number: surge rounded up, unavailable down; both 0 would never move, so one may be
/// unavailable then.
///
/// Upstream: deployment/util, `ResolveFenceposts`.
pub(super) fn fence(deployment: &Deployment) -> Fence {
    let desired = desired(deployment);
    if is_recreate(deployment) {
        return Fence { surge: 0, unavailable: 0 };
    }
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
    let surge = scaled(rolling.max_surge.as_ref(), desired, true);
    let unavailable = scaled(rolling.max_unavailable.as_ref(), desired, false);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    Fence { surge, unavailable: unavailable.min(desired.max(1)) }
}

fn scaled(value: Option<&IntOrString>, of: i32, up: bool) -> i32 {
    value.map_or(0, |value| crate::percent::scaled(value, of, up))
}

#[cfg(test)]
pub(super) mod test {
    use serde_json::json;

    use super::*;

    pub fn deployment(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
        let number = |text: &str| text.parse::<i32>().map_or_else(|_| json!(text), |n| json!(n));
        serde_json::from_value(json!({"metadata": {"name": "d"}, "spec": {"replicas": replicas,
            "selector": {}, "template": {},
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": number(surge), "maxUnavailable": number(unavailable)}}}}))
        .expect("a deployment")
    }

    pub fn set(name: &str, replicas: i32, available: i32) -> Arc<ReplicaSet> {
        let set = json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {}},
            "status": {"replicas": replicas, "availableReplicas": available, "readyReplicas": available}});
        Arc::new(serde_json::from_value(set).expect("a set"))
    }

    #[test]
    fn percentages_round_up_and_down() {
        let fences = [("25%", "25%"), ("0", "0"), ("1", "0"), ("100%", "0")].map(|(surge, unavailable)| {
            let fence = fence(&deployment(3, surge, unavailable));
            (fence.surge, fence.unavailable)
        });
        assert_eq!(fences, [(1, 0), (0, 1), (1, 0), (3, 0)]);
    }
}
