//! What a StatefulSet tells of its pods. Pure.
//!
//! Upstream: pkg/controller/statefulset/stateful_set_control.go, `updateStatus`, `completeRollingUpdate`.

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::api::core::v1::Pod;

use super::identity::revision_of;
use super::plan::{Scene, Step};
use crate::pods;

/// The status before `steps` are taken, with what they change at once.
pub(super) fn status(scene: &Scene<'_>, collisions: Option<i32>, steps: &[Step]) -> StatefulSetStatus {
    let old = scene.set.status.clone().unwrap_or_default();
    let min_ready = scene.spec.min_ready_seconds.unwrap_or(0);
    let count = |test: &dyn Fn(&Pod) -> bool| scene.pods.iter().filter(|pod| test(pod)).count() as i32;
    let is_of = |name: &str, pod: &Pod| !pods::is_terminating(pod) && revision_of(pod) == Some(name);
    let running_ready = |pod: &Pod| pods::phase(pod) == "Running" && pods::is_ready(pod);
    let mut current = count(&|pod| is_of(&scene.current.name, pod));
    let mut updated = count(&|pod| is_of(&scene.update.name, pod));
    for step in steps {
        let (pod, by) = match step {
            Step::Create { pod, .. } => (&**pod, 1),
            Step::Delete(pod) if !pods::is_terminating(pod) => (&**pod, -1),
            _ => continue,
        };
        current += if revision_of(pod) == Some(&scene.current.name) { by } else { 0 };
        updated += if revision_of(pod) == Some(&scene.update.name) { by } else { 0 };
    }
    let created = steps.iter().filter(|step| matches!(step, Step::Create { .. })).count() as i32;
    let mut status = StatefulSetStatus {
        observed_generation: scene.set.metadata.generation,
        replicas: count(&|_| true) + created,
        ready_replicas: some(count(&running_ready)),
        available_replicas: Some(count(&|pod| {
            running_ready(pod) && pods::is_available(pod, min_ready, scene.now)
        })),
        current_replicas: some(current),
        updated_replicas: some(updated),
        current_revision: Some(scene.current.name.clone()),
        update_revision: Some(scene.update.name.clone()),
        collision_count: Some(collisions.unwrap_or(0)),
        conditions: old.conditions,
    };
    complete(scene, &mut status);
    status
}

/// All of the new revision and ready: it is the current one from now on.
fn complete(scene: &Scene<'_>, status: &mut StatefulSetStatus) {
    let strategy = scene.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
    let all = |count: Option<i32>| count.unwrap_or(0) == status.replicas;
    let rolls = strategy != Some("OnDelete");
    if rolls && all(status.updated_replicas) && all(status.ready_replicas) {
        status.current_replicas = status.updated_replicas;
        status.current_revision = status.update_revision.clone();
    }
}

/// Zero is left out of a status, as upstream does.
fn some(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
