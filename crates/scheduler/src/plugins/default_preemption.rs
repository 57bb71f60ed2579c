//! DefaultPreemption: pods of lower priority make room.
//!
//! Upstream: plugins/defaultpreemption and framework/preemption. Disruption budgets are not weighed yet.

use std::sync::Arc;

use jiff::Timestamp;

use crate::cycle;
use crate::fit_error::histogram;
use crate::framework::{Plugin, PostFilter, PostFilterInput, Preemption, Reason, Rejection, RejectionKind};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "DefaultPreemption";
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
/// Candidates to look for: this share of the nodes, in percent, but not fewer than the next.
const CANDIDATES_PERCENTAGE: usize = 10;
const CANDIDATES_AT_LEAST: usize = 100;

pub(super) struct DefaultPreemption;

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        NAME
    }
}

struct Candidate {
    node: String,
    /// Highest priority first.
    victims: Vec<Arc<PodInfo>>,
}

impl PostFilter for DefaultPreemption {
    fn post_filter(&self, input: &PostFilterInput<'_>) -> Result<Preemption, Rejection> {
        if let Some(reason) = ineligible(input) {
            return Err(Rejection::unresolvable(NAME, format!("preemption: {reason}")));
        }
        let (candidates, reasons) = candidates(input);
        let best = candidates.into_iter().min_by_key(rank);
        best.map(|best| Preemption { node: best.node, victims: best.victims }).ok_or_else(|| {
            let all = input.snapshot.nodes().len();
            let counted = histogram(reasons.iter());
            Rejection::unschedulable(NAME, format!("preemption: 0/{all} nodes are available: {counted}."))
        })
    }
}

/// Why the pod may not preempt at all.
fn ineligible(input: &PostFilterInput<'_>) -> Option<&'static str> {
    let pod = input.pod;
    if pod.spec().and_then(|spec| spec.preemption_policy.as_deref()) == Some("Never") {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = input.nominator.node_of(&pod.uid).or_else(|| pod.nominated_node())?;
    let node = input.snapshot.get(nominated)?;
    let resolvable = input.diagnosis.rejections.iter().all(|(at, rejection)| {
        input.snapshot.nodes()[*at].name != nominated || rejection.kind != RejectionKind::Unresolvable
    });
    let waits = node.pods.iter().any(|other| other.priority < pod.priority && other.is_terminating());
    (resolvable && waits).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The nodes on which preemption helps, and what stands in its way on the others.
fn candidates(input: &PostFilterInput<'_>) -> (Vec<Candidate>, Vec<Reason>) {
    let mut reasons: Vec<Reason> = Vec::new();
    let mut hopeful = Vec::new();
    for (at, rejection) in &input.diagnosis.rejections {
        match rejection.kind {
            RejectionKind::Unschedulable => hopeful.push(*at),
            _ => reasons.push(NOT_HELPFUL.into()),
        }
    }
    let enough = (hopeful.len() * CANDIDATES_PERCENTAGE / 100).max(CANDIDATES_AT_LEAST);
    let start = if hopeful.is_empty() { 0 } else { input.random as usize % hopeful.len() };
    let mut found = Vec::new();
    for offset in 0..hopeful.len() {
        if found.len() >= enough {
            break;
        }
        let node = &input.snapshot.nodes()[hopeful[(start + offset) % hopeful.len()]];
        match victims(input, node) {
            Ok(victims) => found.push(Candidate { node: node.name.clone(), victims }),
            Err(why) => reasons.extend(why),
        }
    }
    (found, reasons)
}

/// The fewest and least important pods that have to leave the node.
fn victims(input: &PostFilterInput<'_>, node: &NodeInfo) -> Result<Vec<Arc<PodInfo>>, Vec<Reason>> {
    let (framework, pod) = (input.framework, input.pod);
    let (mut state, mut left) = (input.state.clone(), node.clone());
    for nominated in input.nominator.before(pod, &node.name) {
        cycle::add_pod(framework, &mut state, pod, nominated, &mut left);
    }
    let mut lower: Vec<_> = node.pods.iter().filter(|other| other.priority < pod.priority).cloned().collect();
    if lower.is_empty() {
        return Err(vec![NO_VICTIMS.into()]);
    }
    for other in &lower {
        cycle::remove_pod(framework, &mut state, pod, other, &mut left);
    }
    cycle::fits(framework, &state, pod, &left).map_err(|rejection| rejection.reasons)?;
    // The most important ones are spared first.
    lower.sort_by_key(|other| (std::cmp::Reverse(other.priority), started(other)));
    let mut victims = Vec::new();
    for other in lower {
        cycle::add_pod(framework, &mut state, pod, &other, &mut left);
        if cycle::fits(framework, &state, pod, &left).is_err() {
            cycle::remove_pod(framework, &mut state, pod, &other, &mut left);
            victims.push(other);
        }
    }
    Ok(victims)
}

fn started(pod: &PodInfo) -> Option<Timestamp> {
    pod.pod.status.as_ref()?.start_time.as_ref().map(|time| time.0)
}

/// Smaller is better: the least important victim, then the least sum, the fewest, the youngest.
fn rank(candidate: &Candidate) -> (i32, i64, usize, std::cmp::Reverse<Option<Timestamp>>) {
    let victims = &candidate.victims;
    let highest = victims.first().map_or(i32::MIN, |pod| pod.priority);
    // Shifted so that many negative priorities are not better than few.
    let sum = victims.iter().map(|pod| i64::from(pod.priority) + i64::from(i32::MAX) + 1).sum();
    let important = victims.iter().filter(|pod| pod.priority == highest);
    (highest, sum, victims.len(), std::cmp::Reverse(important.filter_map(|pod| started(pod)).min()))
}
