//! DefaultPreemption: pods of lower priority make room.
//!
//! Upstream: plugins/defaultpreemption and framework/preemption.

mod budgets;

use std::cmp::Reverse;
use std::sync::Arc;

use client::Store;
use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use self::budgets::Budget;
use crate::cycle::{self, On};
use crate::fit_error::histogram;
use crate::framework::{
    CycleState, Plugin, PostFilter, PostFilterInput, Preemption, Reason, Rejection, RejectionKind, Verdict,
};
use crate::node_info::NodeInfo;
use crate::pod_info::PodInfo;

const NAME: &str = "DefaultPreemption";
const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
/// Candidates to look for: this share of the nodes, in percent, but not fewer than the next.
const CANDIDATES_PERCENTAGE: usize = 10;
const CANDIDATES_AT_LEAST: usize = 100;

pub(super) struct DefaultPreemption {
    budgets: Store<PodDisruptionBudget>,
}

impl DefaultPreemption {
    pub(super) fn new(budgets: Store<PodDisruptionBudget>) -> Self {
        Self { budgets }
    }
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        NAME
    }
}

struct Candidate {
    node: String,
    /// Highest priority first.
    victims: Vec<Arc<PodInfo>>,
    /// How many of them break a budget.
    violations: usize,
}

impl PostFilter for DefaultPreemption {
    fn post_filter(&self, input: &PostFilterInput<'_>) -> Result<Preemption, Rejection> {
        if let Some(reason) = ineligible(input) {
            return Err(Rejection::unresolvable(NAME, format!("preemption: {reason}")));
        }
        let budgets: Vec<_> = self.budgets.list().iter().map(|budget| Budget::new(budget)).collect();
        let (candidates, reasons) = candidates(input, &budgets);
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
    let hopeless = input.diagnosis.rejections.iter().any(|(at, rejection)| {
        input.snapshot.nodes()[*at].name == nominated && rejection.kind == RejectionKind::Unresolvable
    });
    let waits = node.pods.iter().any(|other| other.priority < pod.priority && leaves_for_another(other));
    (!hopeless && waits).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// Whether the pod is on its way out because of a preemption.
fn leaves_for_another(pod: &PodInfo) -> bool {
    let conditions = pod.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let preempted = conditions.into_iter().any(|condition| {
        condition.type_ == "DisruptionTarget"
            && condition.status == "True"
            && condition.reason.as_deref() == Some("PreemptionByScheduler")
    });
    pod.is_terminating() && preempted
}

/// The nodes on which preemption helps, and what stands in its way on the others.
fn candidates(input: &PostFilterInput<'_>, budgets: &[Budget]) -> (Vec<Candidate>, Vec<Reason>) {
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
    let (first, second) = hopeful.split_at(start);
    let mut found: Vec<Candidate> = Vec::new();
    for at in second.iter().chain(first) {
        // Those that break budgets do not suffice, however many.
        if found.len() >= enough && found.iter().any(|candidate| candidate.violations == 0) {
            break;
        }
        match victims(input, &input.snapshot.nodes()[*at], budgets) {
            Ok(candidate) => found.push(candidate),
            Err(why) => reasons.extend(why),
        }
    }
    (found, reasons)
}

/// A node, as it would be without some of its pods.
struct Trial<'a> {
    input: &'a PostFilterInput<'a>,
    on: On<'a>,
    state: CycleState,
    node: NodeInfo,
}

impl<'a> Trial<'a> {
    fn new(input: &'a PostFilterInput<'a>, node: &NodeInfo) -> Self {
        let on = On { framework: input.framework, pod: input.pod, snapshot: input.snapshot };
        Self { input, on, state: input.state.clone(), node: node.clone() }
    }

    fn remove(&mut self, pod: &Arc<PodInfo>) {
        self.on.remove_pod(&mut self.state, pod, &mut self.node);
    }

    fn add(&mut self, pod: &Arc<PodInfo>) {
        self.on.add_pod(&mut self.state, pod, &mut self.node);
    }

    /// With and without the pods that are nominated to the node.
    fn fits(&self) -> Verdict {
        let (framework, pod) = (self.on.framework, self.on.pod);
        let nominated: Vec<_> = self.input.nominator.before(pod, &self.node.name).collect();
        if !nominated.is_empty() {
            let (mut state, mut full) = (self.state.clone(), self.node.clone());
            nominated.into_iter().for_each(|other| self.on.add_pod(&mut state, other, &mut full));
            cycle::fits(framework, &state, pod, &full)?;
        }
        cycle::fits(framework, &self.state, pod, &self.node)
    }

    /// Whether the pod can stay.
    fn spare(&mut self, pod: &Arc<PodInfo>) -> bool {
        self.add(pod);
        let fits = self.fits().is_ok();
        if !fits {
            self.remove(pod);
        }
        fits
    }
}

/// The fewest and least important pods that have to leave the node.
fn victims(
    input: &PostFilterInput<'_>,
    node: &NodeInfo,
    budgets: &[Budget],
) -> Result<Candidate, Vec<Reason>> {
    let mut lower: Vec<_> =
        node.pods.iter().filter(|other| other.priority < input.pod.priority).cloned().collect();
    if lower.is_empty() {
        return Err(vec![NO_VICTIMS.into()]);
    }
    let mut trial = Trial::new(input, node);
    lower.iter().for_each(|other| trial.remove(other));
    trial.fits().map_err(|rejection| rejection.reasons)?;
    // The most important ones are spared first, and before them those that a budget protects.
    lower.sort_by_key(importance);
    let (protected, others) = budgets::split(lower, budgets);
    let mut victims: Vec<_> = protected.into_iter().filter(|pod| !trial.spare(pod)).collect();
    let violations = victims.len();
    victims.extend(others.into_iter().filter(|pod| !trial.spare(pod)));
    victims.sort_by_key(importance);
    Ok(Candidate { node: node.name.clone(), victims, violations })
}

/// The more important pod comes first: higher priority, then longer running. One that has not started is as young as
/// can be.
fn importance(pod: &Arc<PodInfo>) -> (Reverse<i32>, Timestamp) {
    (Reverse(pod.priority), started(pod).unwrap_or(Timestamp::MAX))
}

fn started(pod: &PodInfo) -> Option<Timestamp> {
    pod.pod.status.as_ref()?.start_time.as_ref().map(|time| time.0)
}

/// Smaller is better: the fewest broken budgets, the least important victim, the least sum, the fewest, the youngest.
fn rank(candidate: &Candidate) -> (usize, i32, i64, usize, Reverse<Timestamp>) {
    let victims = &candidate.victims;
    let highest = victims.first().map_or(i32::MIN, |pod| pod.priority);
    // Shifted so that many negative priorities are not better than few.
    let sum = victims.iter().map(|pod| i64::from(pod.priority) + i64::from(i32::MAX) + 1).sum();
    let important = victims.iter().filter(|pod| pod.priority == highest);
    let earliest = important.map(|pod| started(pod).unwrap_or(Timestamp::MAX)).min();
    (candidate.violations, highest, sum, victims.len(), Reverse(earliest.unwrap_or(Timestamp::MAX)))
}
