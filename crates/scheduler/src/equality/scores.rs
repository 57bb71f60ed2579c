//! The scores, plainly: one for each node, in the order of the nodes.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm};

use super::View;
use super::reference::{
    asks, constraints, counts, group_on, has_keys, is_about, is_on, label, node_of, offers, spec,
    term_selects, together,
};

fn each(view: &View<'_>, score: impl Fn(&Node) -> i64) -> Vec<i64> {
    view.nodes.iter().map(|node| score(node)).collect()
}

pub(super) fn taints(view: &View<'_>, pod: &Pod) -> Vec<i64> {
    let tolerations: Vec<_> = spec(pod).tolerations.iter().flatten().collect();
    let bad = |node: &Node| {
        let taints = node.spec.as_ref().expect("has one").taints.iter().flatten();
        let soft = taints.filter(|taint| taint.effect == "PreferNoSchedule");
        let tolerated = |key: &str| {
            tolerations.iter().any(|one| {
                let key_fits = one.key.as_deref().is_none_or(|own| own.is_empty() || own == key);
                key_fits && matches!(one.effect.as_deref(), None | Some("" | "PreferNoSchedule"))
            })
        };
        soft.filter(|taint| !tolerated(&taint.key)).count() as i64
    };
    let raw = each(view, bad);
    let most = raw.iter().copied().max().unwrap_or(0);
    raw.into_iter().map(|bad| if most == 0 { 100 } else { 100 - 100 * bad / most }).collect()
}

pub(super) fn node_affinity(view: &View<'_>, pod: &Pod) -> Vec<i64> {
    let affinity = spec(pod).affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    let terms = affinity.and_then(|one| one.preferred_during_scheduling_ignored_during_execution);
    let terms = terms.unwrap_or_default();
    let raw = each(view, |node| {
        let liked = terms.iter().filter(|term| term_selects(&term.preference, node));
        liked.map(|term| i64::from(term.weight)).sum()
    });
    let most = raw.iter().copied().max().unwrap_or(0);
    raw.into_iter().map(|score| if most == 0 { 0 } else { 100 * score / most }).collect()
}

/// What counts for a pod: what it asks for, as zero is asked for too.
fn used(view: &View<'_>, pod: &Pod, node: &Node, resource: &str) -> i64 {
    let here = view.pods.iter().filter(|other| is_on(other, node));
    asks(pod, resource) + here.map(|other| asks(other, resource)).sum::<i64>()
}

pub(super) fn least_allocated(view: &View<'_>, pod: &Pod) -> Vec<i64> {
    each(view, |node| {
        let free = |resource: &str| {
            let (all, used) = (offers(node, resource), used(view, pod, node, resource));
            if used > all { 0 } else { (all - used) * 100 / all }
        };
        (free("cpu") + free("memory")) / 2
    })
}

pub(super) fn balanced(view: &View<'_>, pod: &Pod) -> Vec<i64> {
    if asks(pod, "cpu") == 0 && asks(pod, "memory") == 0 {
        return each(view, |_| 0);
    }
    each(view, |node| {
        let share = |resource: &str| {
            (used(view, pod, node, resource) as f64 / offers(node, resource) as f64).min(1.0)
        };
        let (cpu, memory) = (share("cpu"), share("memory"));
        let mean = (cpu + memory) / 2.0;
        let deviation = (((cpu - mean).powi(2) + (memory - mean).powi(2)) / 2.0).sqrt();
        // Half and root of squares differ in the last bit from half the distance.
        let exact = (1.0 - deviation) * 100.0;
        let near = exact.round();
        if (exact - near).abs() < 1e-9 { near as i64 } else { exact as i64 }
    })
}

pub(super) fn spread(view: &View<'_>, pod: &Pod) -> Vec<i64> {
    let soft = constraints(pod, "ScheduleAnyway");
    if soft.is_empty() {
        return each(view, |_| 0);
    }
    let ranked: Vec<_> = view.nodes.iter().filter(|node| has_keys(&soft, node)).collect();
    let raw = |node: &Node| {
        let mut sum = 0.0;
        for constraint in &soft {
            let key = &constraint.topology_key;
            let domains: BTreeSet<_> = ranked.iter().map(|node| label(&node.metadata.labels, key)).collect();
            let (pods, width) = if key == "kubernetes.io/hostname" {
                (group_on(view, constraint, pod, node), ranked.len())
            } else {
                let near = ranked
                    .iter()
                    .filter(|other| together(other, node, key) && counts(constraint, pod, other));
                (near.map(|other| group_on(view, constraint, pod, other)).sum(), domains.len())
            };
            sum += pods as f64 * ((width + 2) as f64).ln() + f64::from(constraint.max_skew - 1);
        }
        sum.round() as i64
    };
    let scores: Vec<i64> = ranked.iter().map(|node| raw(node)).collect();
    let (least, most) =
        (scores.iter().min().copied().unwrap_or(0), scores.iter().max().copied().unwrap_or(0));
    each(view, |node| match (has_keys(&soft, node), most) {
        (false, _) => 0,
        (true, 0) => 100,
        (true, _) => 100 * (most + least - raw(node)) / most,
    })
}

/// Terms that say how much near pods are liked, with their weights; a required affinity of others counts 1.
fn wishes(pod: &Pod, hard: i64) -> Vec<(PodAffinityTerm, i64)> {
    let Some(affinity) = spec(pod).affinity.clone() else { return vec![] };
    let near = affinity.pod_affinity.unwrap_or_default();
    let away = affinity.pod_anti_affinity.unwrap_or_default();
    let required = near.required_during_scheduling_ignored_during_execution.unwrap_or_default();
    let liked = near.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
    let unliked = away.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
    let required = required.into_iter().map(|term| (term, hard));
    let liked = liked.into_iter().map(|one| (one.pod_affinity_term, i64::from(one.weight)));
    let unliked = unliked.into_iter().map(|one| (one.pod_affinity_term, -i64::from(one.weight)));
    required.chain(liked).chain(unliked).filter(|(_, weight)| *weight != 0).collect()
}

pub(super) fn neighbors(view: &View<'_>, pod: &Pod) -> Vec<i64> {
    let raw = each(view, |node| {
        let mut sum = 0;
        for other in view.pods {
            let near = |key: &str| together(node_of(view, other), node, key);
            let own = wishes(pod, 0);
            let own =
                own.iter().filter(|(term, _)| is_about(view, pod, term, other) && near(&term.topology_key));
            let theirs = wishes(other, 1);
            let theirs = theirs
                .iter()
                .filter(|(term, _)| is_about(view, other, term, pod) && near(&term.topology_key));
            sum += own.map(|(_, weight)| weight).sum::<i64>() + theirs.map(|(_, weight)| weight).sum::<i64>();
        }
        sum
    });
    let (least, most) = (raw.iter().min().copied().unwrap_or(0), raw.iter().max().copied().unwrap_or(0));
    let share = |score: i64| 100.0 * ((score - least) as f64 / (most - least) as f64);
    raw.into_iter().map(|score| if most > least { share(score) as i64 } else { 0 }).collect()
}
