//! What a DaemonSet tells of its nodes and pods. Pure.

use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::fit::Fit;
use super::plan::Scene;
use crate::pods;

pub(super) fn status(scene: &Scene<'_>, collisions: Option<i32>) -> DaemonSetStatus {
    let mut status = DaemonSetStatus {
        observed_generation: scene.set.metadata.generation,
        collision_count: collisions,
        conditions: scene.set.status.as_ref().and_then(|status| status.conditions.clone()),
        ..DaemonSetStatus::default()
    };
    let (mut updated, mut available) = (0, 0);
    for (node, fit) in &scene.fits {
        let pods = scene.on(node);
        if *fit != Fit::Runs {
            status.number_misscheduled += i32::from(!pods.is_empty());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = pods.first() else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pods.iter().any(|pod| pods::is_ready(pod)));
        available += i32::from(pods.iter().any(|pod| scene.is_available(pod)));
        updated += i32::from(pods.iter().any(|pod| scene.is_current(pod)) || scene.is_current(pod));
    }
    let some = |count: i32| (count != 0).then_some(count);
    status.updated_number_scheduled = some(updated);
    status.number_available = some(available);
    status.number_unavailable = some(status.desired_number_scheduled - available);
    status
}
