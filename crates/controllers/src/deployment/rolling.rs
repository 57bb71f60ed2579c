//! The arithmetic of a rolling update.
//!
//! Upstream: deployment/rolling.go and util.NewRSNewReplicas.

use super::sets::{Fence, Scale, Sets, available, desired, fence, is_recreate, wanted};
use k8s_openapi::api::apps::v1::Deployment;

/// The size that the new set should have now.
pub(super) fn new_size(deployment: &Deployment, sets: &Sets) -> i32 {
    let (desired, current) = (desired(deployment), sets.new.as_ref().map_or(0, |new| wanted(new)));
    if is_recreate(deployment) || current >= desired {
        return desired;
    }
    let room = desired + fence(deployment).surge - sets.total_wanted();
    if room <= 0 { current } else { current + room.min(desired - current) }
}

/// What one step of a rolling update changes: first the new set, and only if that stands still, the old ones.
pub(super) fn step(deployment: &Deployment, sets: &Sets) -> Vec<Scale> {
    let Some(new) = &sets.new else { return Vec::new() };
    let to = new_size(deployment, sets);
    if to != wanted(new) {
        return vec![Scale { set: new.clone(), to }];
    }
    shrink_old(desired(deployment), fence(deployment), sets)
}

/// Takes from the old sets first what is not available, then as much as may be missing.
fn shrink_old(desired: i32, fence: Fence, sets: &Sets) -> Vec<Scale> {
    let least = desired - fence.unavailable;
    let new_unavailable = sets.new.as_ref().map_or(0, |new| wanted(new) - available(new));
    let may_go = sets.total_wanted() - least - new_unavailable;
    if may_go <= 0 {
        return Vec::new();
    }
    let mut sizes: Vec<i32> = sets.old.iter().map(|set| wanted(set)).collect();
    take(&mut sizes, may_go, |index, size| size - available(&sets.old[index]).min(size));
    let surplus = sets.total_available() - least;
    take(&mut sizes, surplus, |_, size| size);
    let changed = sets.old.iter().zip(sizes).filter(|(set, to)| wanted(set) != *to);
    changed.map(|(set, to)| Scale { set: set.clone(), to }).collect()
}

/// Takes `most` in all from `sizes`, from each at most what `limit` gives.
fn take(sizes: &mut [i32], most: i32, limit: impl Fn(usize, i32) -> i32) {
    let mut left = most.max(0);
    for (index, size) in sizes.iter_mut().enumerate() {
        let taken = limit(index, *size).min(left).max(0);
        *size -= taken;
        left -= taken;
    }
}

#[cfg(test)]
mod tests {
    use super::super::sets::test::{deployment, set};
    use super::*;

    fn check(replicas: i32, fence: (&str, &str), new: (i32, i32), old: &[(i32, i32)], expected: &str) {
        let sets = Sets {
            new: Some(set("new", new.0, new.1)),
            old: old.iter().enumerate().map(|(i, o)| set(&format!("old{i}"), o.0, o.1)).collect(),
        };
        let steps = step(&deployment(replicas, fence.0, fence.1), &sets);
        let told: Vec<_> = steps
            .iter()
            .map(|scale| format!("{}={}", scale.set.metadata.name.as_deref().expect("named"), scale.to))
            .collect();
        assert_eq!(told.join(" "), expected, "{replicas} {fence:?} {new:?} {old:?}");
    }

    #[test]
    fn a_rollout_moves_within_its_fence() {
        check(3, ("1", "0"), (0, 0), &[(3, 3)], "new=1");
        check(3, ("1", "0"), (1, 0), &[(3, 3)], "");
        check(3, ("1", "0"), (1, 1), &[(3, 3)], "old0=2");
        check(3, ("1", "0"), (1, 1), &[(2, 2)], "new=2");
        check(10, ("25%", "25%"), (3, 0), &[(10, 10)], "old0=8");
        check(10, ("0", "50%"), (0, 0), &[(10, 10)], "old0=5");
        check(3, ("1", "0"), (3, 3), &[(1, 1)], "old0=0");
    }

    #[test]
    fn what_is_not_available_goes_first() {
        check(3, ("1", "1"), (1, 1), &[(2, 2), (1, 0)], "old0=1 old1=0");
        check(10, ("0", "20%"), (2, 0), &[(8, 5)], "");
    }

    #[test]
    fn a_new_set_that_is_too_large_shrinks() {
        check(2, ("1", "0"), (5, 5), &[], "new=2");
    }
}
