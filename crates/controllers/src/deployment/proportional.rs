//! Scaling a Deployment in the middle of a rollout: each set gets its share.
//!
//! Upstream: deployment/sync.go `scale`, util.GetReplicaSetProportion.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::revision::MAX_REPLICAS;
use super::sets::{Scale, Sets, available, desired, existing, fence, is_recreate, wanted};

/// The sizes that a changed number of replicas asks for.
pub(super) fn scale(deployment: &Deployment, sets: &Sets) -> Vec<Scale> {
    let desired = desired(deployment);
    if let Some(only) = only_active_or_latest(sets) {
        return resize(only, desired).into_iter().collect();
    }
    if sets.new.as_ref().is_some_and(|new| is_saturated(new, desired)) {
        return sets.old.iter().filter_map(|set| resize(set, 0)).collect();
    }
    if is_recreate(deployment) {
        return Vec::new();
    }
    share(deployment, sets)
}

fn resize(set: &Arc<ReplicaSet>, to: i32) -> Option<Scale> {
    (wanted(set) != to).then(|| Scale { set: set.clone(), to })
}

/// The one set with pods; with none active, the newest; none when several are active.
fn only_active_or_latest(sets: &Sets) -> Option<&Arc<ReplicaSet>> {
    let mut active = sets.all().filter(|set| wanted(set) > 0);
    match (active.next(), active.next()) {
        (None, _) => sets.new.as_ref().or(sets.old.last()),
        (only, None) => only,
        _ => None,
    }
}

/// Whether the new set has all that the Deployment asks for, available.
fn is_saturated(new: &ReplicaSet, desired: i32) -> bool {
    let annotated = new.metadata.annotations.as_ref().and_then(|a| a.get(super::revision::DESIRED_REPLICAS));
    let annotated = annotated.and_then(|text| text.parse::<i32>().ok());
    wanted(new) == desired
        && annotated == Some(desired)
        && available(new) == desired
        && existing(new) == desired
}

fn share(deployment: &Deployment, sets: &Sets) -> Vec<Scale> {
    let desired = desired(deployment);
    let allowed = if desired > 0 { desired + fence(deployment).surge } else { 0 };
    let to_add = allowed - sets.total_wanted();
    let mut active: Vec<_> = sets.all().filter(|set| wanted(set) > 0).cloned().collect();
    // The largest set first; of equals the newest when growing, the oldest when shrinking.
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if to_add > 0 {
        active.sort_by_key(|set| Reverse((wanted(set), created(set))));
    } else {
        active.sort_by_key(|set| (Reverse(wanted(set)), created(set)));
    }
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::new();
    for set in &active {
        let fraction = fraction(set, allowed).clamp(to_add.min(0) - added.min(0), (to_add - added).max(0));
        sizes.push(wanted(set) + fraction);
        added += fraction;
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    active.iter().zip(sizes).filter_map(|(set, to)| resize(set, to)).collect()
}

/// How much a set grows when the whole grows to `allowed`, by its share of what was allowed before.
fn fraction(set: &ReplicaSet, allowed: i32) -> i32 {
    if allowed == 0 {
        return -wanted(set);
    }
    let annotations = set.metadata.annotations.as_ref();
    let before = annotations.and_then(|a| a.get(MAX_REPLICAS)).and_then(|text| text.parse::<i32>().ok());
    // Without the annotation the set's own size is all that is known, as upstream has it.
    let before = before.filter(|before| *before > 0).unwrap_or_else(|| existing(set).max(1));
    let size = f64::from(wanted(set)) * f64::from(allowed) / f64::from(before);
    size.round() as i32 - wanted(set)
}

#[cfg(test)]
mod tests {
    use super::super::sets::test::{deployment, set};
    use super::*;

    fn annotated(name: &str, replicas: i32, max: i32) -> Arc<ReplicaSet> {
        let mut set = (*set(name, replicas, replicas)).clone();
        set.metadata.annotations = Some([(MAX_REPLICAS.to_owned(), max.to_string())].into());
        Arc::new(set)
    }

    fn sizes(replicas: i32, new: Arc<ReplicaSet>, old: Vec<Arc<ReplicaSet>>) -> Vec<(String, i32)> {
        let scales = scale(&deployment(replicas, "0", "1"), &Sets { new: Some(new), old });
        scales.into_iter().map(|s| (s.set.metadata.name.clone().expect("named"), s.to)).collect()
    }

    #[test]
    fn a_single_set_takes_all() {
        assert_eq!(sizes(5, annotated("new", 3, 3), vec![]), [("new".to_owned(), 5)]);
        assert_eq!(sizes(5, annotated("new", 0, 3), vec![annotated("old", 3, 3)]), [("old".to_owned(), 5)]);
    }

    #[test]
    fn several_sets_share() {
        let sizes = sizes(20, annotated("new", 4, 10), vec![annotated("old", 6, 10)]);
        assert_eq!(sizes, [("old".to_owned(), 12), ("new".to_owned(), 8)]);
    }
}
