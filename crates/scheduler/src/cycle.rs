//! One pod, one decision: which node, or why none. No I/O.
//!
//! Upstream: pkg/scheduler/schedule_one.go, `schedulingCycle`.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use stdx::Random;

use crate::cache::Snapshot;
use crate::fit_error::FitError;
use crate::framework::{
    CycleState, Filter, Framework, MAX_NODE_SCORE, PostFilterInput, PreFiltered, PreScored, Preemption,
    Rejection, RejectionKind, Score, Verdict,
};
use crate::node_info::NodeInfo;
use crate::nominator::Nominator;
use crate::pod_info::PodInfo;

/// With fewer nodes all are looked at.
const MIN_FEASIBLE_NODES: usize = 100;
/// Never less than this share is looked for, in percent.
const MIN_PERCENTAGE: usize = 5;

/// What the plugins said about the nodes.
#[derive(Debug, Default)]
pub struct Diagnosis {
    /// Why the pod fits no node, whichever it is.
    pub pre_filter_message: Option<String>,
    /// By the node's place in the snapshot.
    pub rejections: Vec<(usize, Rejection)>,
    /// The plugins that have to change their mind.
    pub plugins: BTreeSet<&'static str>,
    pub post_filter_messages: Vec<String>,
}

/// The node, by name.
#[derive(Debug, PartialEq, Eq)]
pub struct Chosen {
    pub node: String,
    pub evaluated_nodes: usize,
    pub feasible_nodes: usize,
}

/// Why a pod got no node.
pub enum Failure {
    NoNodes,
    Unfit {
        error: Box<FitError>,
        preemption: Option<Preemption>,
    },
    /// A plugin failed.
    Plugin(Rejection),
}

/// What lasts from one decision to the next.
pub struct Cycle {
    random: Random,
    percentage: Option<u8>,
    /// Where the next search begins, so that all nodes get their turn.
    next_start: usize,
}

/// The nodes that fit, in the order found.
struct Search {
    feasible: Vec<usize>,
    diagnosis: Diagnosis,
}

impl Cycle {
    pub fn new(random: Random, percentage: Option<u8>) -> Self {
        Self { random, percentage, next_start: 0 }
    }

    /// # Errors
    /// Nothing fits, or a plugin failed.
    pub fn schedule(
        &mut self,
        framework: &Framework,
        pod: &PodInfo,
        snapshot: &Snapshot,
        nominator: &Nominator,
    ) -> Result<Chosen, Failure> {
        if snapshot.nodes().is_empty() {
            return Err(Failure::NoNodes);
        }
        let mut state = CycleState::default();
        let search = self.search(framework, &mut state, pod, snapshot, nominator).map_err(Failure::Plugin)?;
        if search.feasible.is_empty() {
            return Err(self.post_filter(framework, &state, pod, snapshot, nominator, search.diagnosis));
        }
        let feasible = search.feasible;
        let best = match feasible.as_slice() {
            [only] => *only,
            _ => self.best(framework, &mut state, pod, snapshot, &feasible),
        };
        Ok(Chosen {
            node: snapshot.nodes()[best].name.clone(),
            evaluated_nodes: feasible.len() + search.diagnosis.rejections.len(),
            feasible_nodes: feasible.len(),
        })
    }

    fn search(
        &mut self,
        framework: &Framework,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
        nominator: &Nominator,
    ) -> Result<Search, Rejection> {
        let (filters, only) = match pre_filter(framework, state, pod, snapshot) {
            Ok(prepared) => prepared,
            Err(rejection) if rejection.kind == RejectionKind::Error => return Err(rejection),
            Err(rejection) => {
                return Ok(Search { feasible: vec![], diagnosis: for_all(snapshot, rejection) });
            }
        };
        let ctx = Context { framework, filters: &filters, state, pod, snapshot, nominator };
        if let Some(at) = pod.nominated_node().and_then(|node| snapshot.index_of(node))
            && ctx.filter(at).is_ok()
        {
            return Ok(Search { feasible: vec![at], diagnosis: Diagnosis::default() });
        }
        match only {
            Some((names, by)) => ctx.among(&names, &by),
            None => self.rotate(&ctx),
        }
    }

    /// Looks at the nodes in turn until enough are found.
    fn rotate(&mut self, ctx: &Context<'_>) -> Result<Search, Rejection> {
        let all = ctx.snapshot.nodes().len();
        let wanted = wanted(all, self.percentage);
        let mut found = Search { feasible: Vec::with_capacity(wanted), diagnosis: Diagnosis::default() };
        let mut looked_at = 0;
        while looked_at < all && found.feasible.len() < wanted {
            ctx.look_at((self.next_start + looked_at) % all, &mut found)?;
            looked_at += 1;
        }
        self.next_start = (self.next_start + looked_at) % all;
        Ok(found)
    }

    fn best(
        &self,
        framework: &Framework,
        state: &mut CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
        feasible: &[usize],
    ) -> usize {
        let totals = totals(framework, state, pod, snapshot, feasible);
        // Among equals each has the same chance.
        let (mut best, mut equals) = (0, 1);
        for at in 1..totals.len() {
            match totals[at].cmp(&totals[best]) {
                std::cmp::Ordering::Greater => (best, equals) = (at, 1),
                std::cmp::Ordering::Equal => {
                    equals += 1;
                    if self.random.below(equals) == 0 {
                        best = at;
                    }
                }
                std::cmp::Ordering::Less => {}
            }
        }
        feasible[best]
    }

    fn post_filter(
        &self,
        framework: &Framework,
        state: &CycleState,
        pod: &PodInfo,
        snapshot: &Snapshot,
        nominator: &Nominator,
        mut diagnosis: Diagnosis,
    ) -> Failure {
        let mut preemption = None;
        for plugin in &framework.post_filter {
            let random = self.random.u64();
            let input =
                PostFilterInput { framework, snapshot, nominator, state, pod, diagnosis: &diagnosis, random };
            match plugin.post_filter(&input) {
                Ok(found) => {
                    diagnosis.post_filter_messages.clear();
                    preemption = Some(found);
                    break;
                }
                Err(rejection) => diagnosis.post_filter_messages.push(rejection.message()),
            }
        }
        let error = Box::new(FitError { all_nodes: snapshot.nodes().len(), diagnosis });
        Failure::Unfit { error, preemption }
    }
}

type Only = Option<(HashSet<String>, Vec<&'static str>)>;

/// Runs the PreFilters; gives the filters that have something to say, and the only nodes that can fit.
fn pre_filter(
    framework: &Framework,
    state: &mut CycleState,
    pod: &PodInfo,
    snapshot: &Snapshot,
) -> Result<(Vec<Arc<dyn Filter>>, Only), Rejection> {
    let mut skip = HashSet::new();
    let mut only: Only = None;
    for plugin in &framework.pre_filter {
        match plugin.pre_filter(state, pod, snapshot)? {
            PreFiltered::Skip => {
                skip.insert(plugin.name());
            }
            PreFiltered::AllNodes => {}
            PreFiltered::Nodes(names) => {
                let (left, by) = only.get_or_insert_with(|| (names.clone(), vec![]));
                left.retain(|name| names.contains(name));
                by.push(plugin.name());
                if left.is_empty() {
                    return Err(Rejection::unresolvable(plugin.name(), nothing_left(by)));
                }
            }
        }
    }
    state.put(Skipped(skip.clone()));
    let filters = framework.filter.iter().filter(|plugin| !skip.contains(plugin.name())).cloned().collect();
    Ok((filters, only))
}

fn nothing_left(by: &[&str]) -> String {
    match by {
        [only] => format!("node(s) didn't satisfy plugin {only}"),
        several => format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", several.join(" ")),
    }
}

/// The filters that the PreFilters switched off for this pod.
#[derive(Clone)]
struct Skipped(HashSet<&'static str>);

fn for_all(snapshot: &Snapshot, rejection: Rejection) -> Diagnosis {
    Diagnosis {
        pre_filter_message: Some(rejection.message()),
        plugins: [rejection.plugin].into(),
        rejections: (0..snapshot.nodes().len()).map(|at| (at, rejection.clone())).collect(),
        post_filter_messages: vec![],
    }
}

/// How many fitting nodes are enough: the more nodes there are, the smaller the share.
fn wanted(all: usize, percentage: Option<u8>) -> usize {
    if all < MIN_FEASIBLE_NODES {
        return all;
    }
    let share = match percentage {
        None | Some(0) => 50usize.saturating_sub(all / 125).max(MIN_PERCENTAGE),
        Some(percentage) => usize::from(percentage).min(100),
    };
    (all * share / 100).max(MIN_FEASIBLE_NODES)
}

struct Context<'a> {
    framework: &'a Framework,
    filters: &'a [Arc<dyn Filter>],
    state: &'a CycleState,
    pod: &'a PodInfo,
    snapshot: &'a Snapshot,
    nominator: &'a Nominator,
}

impl Context<'_> {
    fn among(&self, names: &HashSet<String>, by: &[&'static str]) -> Result<Search, Rejection> {
        let mut found = Search { feasible: vec![], diagnosis: Diagnosis::default() };
        let absent =
            Rejection::unresolvable(by[0], format!("node(s) didn't satisfy plugin(s) [{}]", by.join(" ")));
        for (at, node) in self.snapshot.nodes().iter().enumerate() {
            if names.contains(&node.name) {
                self.look_at(at, &mut found)?;
            } else {
                found.diagnosis.plugins.insert(by[0]);
                found.diagnosis.rejections.push((at, absent.clone()));
            }
        }
        Ok(found)
    }

    fn look_at(&self, at: usize, found: &mut Search) -> Result<(), Rejection> {
        match self.filter(at) {
            Ok(()) => found.feasible.push(at),
            Err(rejection) if rejection.kind == RejectionKind::Error => return Err(rejection),
            Err(rejection) => {
                found.diagnosis.plugins.insert(rejection.plugin);
                found.diagnosis.rejections.push((at, rejection));
            }
        }
        Ok(())
    }

    /// A node fits if it does so both with and without the pods that are nominated to it: they may come, or not.
    fn filter(&self, at: usize) -> Verdict {
        let node = &self.snapshot.nodes()[at];
        if !self.nominator.is_empty() && self.nominator.before(self.pod, &node.name).next().is_some() {
            let (mut state, mut full) = (self.state.clone(), node.clone());
            for nominated in self.nominator.before(self.pod, &node.name) {
                let on = On { framework: self.framework, pod: self.pod, snapshot: self.snapshot };
                on.add_pod(&mut state, nominated, &mut full);
            }
            run_filters(self.filters, &state, self.pod, &full)?;
        }
        run_filters(self.filters, self.state, self.pod, node)
    }
}

fn run_filters(filters: &[Arc<dyn Filter>], state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
    filters.iter().try_for_each(|plugin| plugin.filter(state, pod, node))
}

/// Whether a pod would fit a node as thought of, for preemption.
pub(crate) fn fits(framework: &Framework, state: &CycleState, pod: &PodInfo, node: &NodeInfo) -> Verdict {
    let skipped = state.get::<Skipped>();
    let runs = |name: &str| skipped.is_none_or(|skipped| !skipped.0.contains(name));
    let mut filters = framework.filter.iter().filter(|plugin| runs(plugin.name()));
    filters.try_for_each(|plugin| plugin.filter(state, pod, node))
}

/// Thinks of pods as on a node, or as gone.
#[derive(Clone, Copy)]
pub(crate) struct On<'a> {
    pub framework: &'a Framework,
    pub pod: &'a PodInfo,
    pub snapshot: &'a Snapshot,
}

impl On<'_> {
    pub fn add_pod(self, state: &mut CycleState, added: &Arc<PodInfo>, node: &mut NodeInfo) {
        node.add_pod(added.clone());
        for plugin in &self.framework.pre_filter {
            plugin.add_pod(state, self.pod, added, node, self.snapshot);
        }
    }

    pub fn remove_pod(self, state: &mut CycleState, removed: &Arc<PodInfo>, node: &mut NodeInfo) {
        node.remove_pod(&removed.uid);
        for plugin in &self.framework.pre_filter {
            plugin.remove_pod(state, self.pod, removed, node, self.snapshot);
        }
    }
}

/// The weighted sum of all scores, for each feasible node.
pub(crate) fn totals(
    framework: &Framework,
    state: &mut CycleState,
    pod: &PodInfo,
    snapshot: &Snapshot,
    feasible: &[usize],
) -> Vec<i64> {
    let skip: HashSet<&str> = framework
        .pre_score
        .iter()
        .filter(|plugin| plugin.pre_score(state, pod, snapshot, feasible) == PreScored::Skip)
        .map(|plugin| plugin.name())
        .collect();
    let mut totals = vec![0; feasible.len()];
    for (plugin, weight) in framework.score.iter().filter(|(plugin, _)| !skip.contains(plugin.name())) {
        let scores = normalized(&**plugin, state, pod, snapshot, feasible);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += score.clamp(0, MAX_NODE_SCORE) * weight;
        }
    }
    totals
}

fn normalized(
    plugin: &dyn Score,
    state: &CycleState,
    pod: &PodInfo,
    snapshot: &Snapshot,
    feasible: &[usize],
) -> Vec<i64> {
    let score = |at: &usize| plugin.score(state, pod, &snapshot.nodes()[*at], snapshot);
    let mut scores: Vec<i64> = feasible.iter().map(score).collect();
    plugin.normalize(state, &mut scores);
    scores
}
