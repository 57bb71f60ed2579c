//! The plugins, one file each, and which of them a profile runs.
//!
//! Upstream: pkg/scheduler/framework/plugins; the order and the weights are `getDefaultPlugins`'.

mod default_binder;
mod default_preemption;
mod dynamic_resources;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod normalize;
mod pod_topology_spread;
mod scheduling_gates;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use std::sync::Arc;

use kube::Client;

use crate::config::Profile;
use crate::framework::Framework;
use crate::sources::Sources;

/// The default plugins; without a client the profile decides, but cannot bind.
pub fn framework(profile: &Profile, client: Option<Client>, sources: &Sources) -> Framework {
    let args = &profile.args;
    let affinity = Arc::new(node_affinity::NodeAffinity);
    let taints = Arc::new(taint_toleration::TaintToleration);
    let ports = Arc::new(node_ports::NodePorts);
    let fit = Arc::new(node_resources_fit::NodeResourcesFit::new(args));
    let balanced = Arc::new(node_resources_balanced_allocation::NodeResourcesBalancedAllocation);
    let spread = Arc::new(pod_topology_spread::PodTopologySpread::new(args, sources));
    let pods = Arc::new(inter_pod_affinity::InterPodAffinity::new(args));
    let restrictions = Arc::new(volume_restrictions::VolumeRestrictions::new(sources));
    let binding = Arc::new(volume_binding::VolumeBinding::new(sources, client.clone()));
    let zone = Arc::new(volume_zone::VolumeZone::new(sources));
    let resources = Arc::new(dynamic_resources::DynamicResources);
    let builder = Framework::builder(profile.scheduler_name.clone())
        .pre_enqueue(Arc::new(scheduling_gates::SchedulingGates))
        .pre_filter(affinity.clone())
        .pre_filter(ports.clone())
        .pre_filter(fit.clone())
        .pre_filter(restrictions.clone())
        .pre_filter(binding.clone())
        .pre_filter(zone.clone())
        .pre_filter(spread.clone())
        .pre_filter(pods.clone())
        .pre_filter(resources.clone())
        .filter(Arc::new(node_unschedulable::NodeUnschedulable))
        .filter(Arc::new(node_name::NodeName))
        .filter(taints.clone())
        .filter(affinity.clone())
        .filter(ports)
        .filter(fit.clone())
        .filter(restrictions)
        .filter(binding.clone())
        .filter(zone)
        .filter(spread.clone())
        .filter(pods.clone())
        .post_filter(resources)
        .post_filter(Arc::new(default_preemption::DefaultPreemption::new(sources.budgets.clone())))
        .reserve(binding.clone())
        .pre_bind(binding)
        .pre_score(taints.clone())
        .pre_score(affinity.clone())
        .pre_score(spread.clone())
        .pre_score(pods.clone())
        .pre_score(balanced.clone())
        .score(taints, 3)
        .score(affinity, 2)
        .score(fit, 1)
        .score(spread, 2)
        .score(pods, 2)
        .score(balanced, 1)
        .score(Arc::new(image_locality::ImageLocality), 1);
    match client {
        Some(client) => builder.bind(Arc::new(default_binder::DefaultBinder::new(client))),
        None => builder,
    }
    .build()
}

/// What the server said, in its own words.
fn server_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => stdx::error_chain(other),
    }
}
