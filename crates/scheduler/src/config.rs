//! What a scheduler is given.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use kube::Client;
use stdx::{Clock, Random};

/// The name in pods' `spec.schedulerName` unless they say otherwise.
pub(crate) const DEFAULT_SCHEDULER: &str = "default-scheduler";

pub struct Config {
    /// Acts as `system:kube-scheduler`.
    pub client: Client,
    /// Who this is among several schedulers; none where there is only one, as in the all-in-one process.
    pub identity: Option<String>,
    pub clock: Clock,
    pub random: Random,
    /// One by default.
    pub profiles: Vec<Profile>,
    /// How many of the nodes are looked for that fit, in percent; none means fewer the more nodes there are.
    pub percentage_of_nodes_to_score: Option<u8>,
}

impl Config {
    pub fn new(client: Client, clock: Clock, random: Random) -> Self {
        let profiles = vec![Profile::default()];
        Self { client, identity: None, clock, random, profiles, percentage_of_nodes_to_score: None }
    }
}

/// The plugins' settings for the pods that name this scheduler.
#[derive(Clone, Debug)]
pub struct Profile {
    pub scheduler_name: String,
    pub args: PluginArgs,
}

impl Default for Profile {
    fn default() -> Self {
        Self { scheduler_name: DEFAULT_SCHEDULER.to_owned(), args: PluginArgs::default() }
    }
}

/// Upstream: kubescheduler.config.k8s.io/v1.
#[derive(Clone, Debug)]
pub struct PluginArgs {
    /// How NodeResourcesFit ranks nodes.
    pub scoring_strategy: ScoringStrategy,
    /// Extended resources that NodeResourcesFit leaves to others.
    pub ignored_resources: Vec<String>,
    /// Prefixes (before the `/`) of such resources.
    pub ignored_resource_groups: Vec<String>,
    /// How PodTopologySpread spreads pods that do not say how.
    pub spread_defaults: SpreadDefaults,
    /// InterPodAffinity: what a required affinity of a pod that runs adds to the score of the nodes near it.
    pub hard_pod_affinity_weight: i64,
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for PluginArgs {
    fn default() -> Self {
        Self {
            scoring_strategy: ScoringStrategy::default(),
            ignored_resources: vec![],
            ignored_resource_groups: vec![],
            spread_defaults: SpreadDefaults::System,
            hard_pod_affinity_weight: 1,
            ignore_preferred_terms_of_existing_pods: false,
        }
    }
}

/// Constraints of pods that have none.
#[derive(Clone, Debug, PartialEq)]
pub enum SpreadDefaults {
    /// A little, over hosts and zones.
    System,
    /// These; their selectors follow from the pod's services and owner.
    List(Vec<TopologySpreadConstraint>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceWeight {
    pub name: String,
    pub weight: i64,
}

impl ResourceWeight {
    fn cpu_and_memory() -> Vec<Self> {
        ["cpu", "memory"].map(|name| Self { name: name.to_owned(), weight: 1 }).into()
    }
}

/// How full a node should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScoringStrategy {
    /// The emptier the better.
    LeastAllocated(Vec<ResourceWeight>),
    /// The fuller the better.
    MostAllocated(Vec<ResourceWeight>),
    /// By a curve: (utilization in percent, score from 0 to 10), utilization rising.
    RequestedToCapacityRatio { resources: Vec<ResourceWeight>, shape: Vec<(i64, i64)> },
}

impl Default for ScoringStrategy {
    fn default() -> Self {
        Self::LeastAllocated(ResourceWeight::cpu_and_memory())
    }
}

impl ScoringStrategy {
    pub fn resources(&self) -> &[ResourceWeight] {
        match self {
            Self::LeastAllocated(resources)
            | Self::MostAllocated(resources)
            | Self::RequestedToCapacityRatio { resources, .. } => resources,
        }
    }
}
