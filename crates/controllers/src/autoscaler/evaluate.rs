//! What each metric of an autoscaler asks for.
//!
//! Upstream: pkg/controller/podautoscaler/horizontal.go, `computeReplicasForMetric` and what it calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricStatus, MetricIdentifier, MetricSpec, MetricStatus,
    MetricTarget, MetricValueStatus, ObjectMetricSource, ObjectMetricStatus, PodsMetricStatus,
    ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Client;
use kube::api::GroupVersionKind;

use super::metrics;
use super::replicas::{self, Goal, Proposal, Samples, Tolerance, of_average, of_value};
use crate::pods;

/// What an autoscaler's metrics are evaluated against.
pub(super) struct Target<'a> {
    pub client: &'a Client,
    pub namespace: &'a str,
    pub selector: &'a str,
    pub pods: &'a [Arc<Pod>],
    pub spec_replicas: i32,
    pub status_replicas: i32,
    pub tolerance: Tolerance,
    pub now: Timestamp,
}

/// The answer of one metric.
pub(super) struct Answer {
    pub replicas: i32,
    /// How it is called in events.
    pub name: String,
    pub status: MetricStatus,
}

/// Why a metric has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("unable to get metrics for resource {resource}")]
    Resource { resource: String, source: metrics::Error },
    #[error("unable to get metric {metric}")]
    Metric { metric: String, source: metrics::Error },
    #[error("missing request for {resource} in container {container} of Pod {pod}")]
    Request { resource: String, container: String, pod: String },
    #[error("no container {container} in Pod {pod}")]
    Container { container: String, pod: String },
    #[error("{0}")]
    Pods(replicas::Error),
    #[error("invalid metric source: neither a value target nor an average value target was set")]
    NoTarget,
    #[error("unknown metric source type {kind:?}")]
    Unknown { kind: String },
    #[error("unable to map {kind:?} to a resource")]
    Kind { kind: String, source: kube::Error },
    #[error("the target is no quantity")]
    Target { source: metrics::Error },
}

/// The reason that events and conditions give for a metric of this type.
pub(super) fn failure_reason(kind: &str) -> &'static str {
    match kind {
        "Resource" => "FailedGetResourceMetric",
        "ContainerResource" => "FailedGetContainerResourceMetric",
        "Pods" => "FailedGetPodsMetric",
        "Object" => "FailedGetObjectMetric",
        "External" => "FailedGetExternalMetric",
        _ => "InvalidMetricSourceType",
    }
}

fn target_milli(quantity: &Quantity) -> Result<i64, Error> {
    // A target of nothing would divide by it; validation lets only positive ones in.
    metrics::milli(&quantity.0).map(|milli| milli.max(1)).map_err(|source| Error::Target { source })
}

fn in_units(milli: i64) -> Quantity {
    Quantity(api::quantity::Quantity::from_milli(milli).to_string())
}

fn average(proposal: &Proposal) -> MetricValueStatus {
    MetricValueStatus {
        average_utilization: proposal.utilization,
        average_value: Some(in_units(proposal.average_milli)),
        value: None,
    }
}

impl Target<'_> {
    pub async fn answer(&self, metric: &MetricSpec) -> Result<Answer, Error> {
        match metric.type_.as_str() {
            "Resource" if metric.resource.is_some() => self.resource(metric).await,
            "ContainerResource" if metric.container_resource.is_some() => self.container(metric).await,
            "Pods" if metric.pods.is_some() => self.of_pods(metric).await,
            "Object" if metric.object.is_some() => self.object(metric).await,
            "External" if metric.external.is_some() => self.external(metric).await,
            kind => Err(Error::Unknown { kind: kind.to_owned() }),
        }
    }

    async fn resource(&self, metric: &MetricSpec) -> Result<Answer, Error> {
        let source = metric.resource.clone().unwrap_or_default();
        let proposal = self.usage(&source.name, None, &source.target).await?;
        let status = ResourceMetricStatus { name: source.name.clone(), current: average(&proposal) };
        Ok(Answer {
            replicas: proposal.replicas,
            name: format!("{} resource{}", source.name, suffix(&source.target)),
            status: MetricStatus {
                type_: metric.type_.clone(),
                resource: Some(status),
                ..MetricStatus::default()
            },
        })
    }

    async fn container(&self, metric: &MetricSpec) -> Result<Answer, Error> {
        let source = metric.container_resource.clone().unwrap_or_default();
        let proposal = self.usage(&source.name, Some(&source.container), &source.target).await?;
        let status = ContainerResourceMetricStatus {
            name: source.name.clone(),
            container: source.container,
            current: average(&proposal),
        };
        let status = MetricStatus {
            type_: metric.type_.clone(),
            container_resource: Some(status),
            ..MetricStatus::default()
        };
        let name = format!("{} container resource{}", source.name, suffix(&source.target));
        Ok(Answer { replicas: proposal.replicas, name, status })
    }

    async fn usage(
        &self,
        resource: &str,
        container: Option<&str>,
        target: &MetricTarget,
    ) -> Result<Proposal, Error> {
        let goal = match (&target.average_value, target.average_utilization) {
            (Some(value), _) => Goal::Average { milli: target_milli(value)? },
            (None, Some(percent)) => {
                Goal::Utilization { percent, requests: self.requests(resource, container)? }
            }
            (None, None) => return Err(Error::NoTarget),
        };
        let samples =
            metrics::of_resource(self.client, self.namespace, self.selector, resource, container).await;
        let samples = samples.map_err(|source| Error::Resource { resource: resource.to_owned(), source })?;
        self.propose(samples, &goal, resource == "cpu")
    }

    fn propose(&self, samples: Samples, goal: &Goal, is_cpu: bool) -> Result<Proposal, Error> {
        let (current, tolerance) = (self.spec_replicas, self.tolerance);
        replicas::of_pods(current, self.pods, samples, goal, is_cpu, tolerance, self.now).map_err(Error::Pods)
    }

    fn requests(&self, resource: &str, container: Option<&str>) -> Result<BTreeMap<String, i64>, Error> {
        let of_pod = |pod: &Arc<Pod>| {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let total = request(pod, &name, resource, container)?;
            Ok((name, total))
        };
        self.pods.iter().map(of_pod).collect()
    }

    async fn of_pods(&self, metric: &MetricSpec) -> Result<Answer, Error> {
        let source = metric.pods.clone().unwrap_or_default();
        let name = source.metric.name.clone();
        let value = source.target.average_value.as_ref().ok_or(Error::NoTarget)?;
        let selector = source.metric.selector.as_ref();
        let samples = metrics::of_pods(self.client, self.namespace, self.selector, &name, selector).await;
        let samples = samples.map_err(|source| Error::Metric { metric: name.clone(), source })?;
        let proposal = self.propose(samples, &Goal::Average { milli: target_milli(value)? }, false)?;
        let status = PodsMetricStatus { metric: source.metric, current: average(&proposal) };
        let status =
            MetricStatus { type_: metric.type_.clone(), pods: Some(status), ..MetricStatus::default() };
        Ok(Answer { replicas: proposal.replicas, name: format!("pods metric {name}"), status })
    }

    /// The resource of the object that a metric describes.
    async fn resource_of(&self, source: &ObjectMetricSource) -> Result<String, Error> {
        let described = &source.described_object;
        let api_version = described.api_version.clone().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let kind =
            GroupVersionKind::gvk(group, if version.is_empty() { "v1" } else { version }, &described.kind);
        let found = kube::discovery::pinned_kind(self.client, &kind).await;
        let (resource, _) = found.map_err(|source| Error::Kind { kind: described.kind.clone(), source })?;
        Ok(if group.is_empty() { resource.plural } else { format!("{}.{group}", resource.plural) })
    }

    async fn object(&self, metric: &MetricSpec) -> Result<Answer, Error> {
        let source = metric.object.clone().unwrap_or_default();
        let name = source.metric.name.clone();
        let resource = self.resource_of(&source).await?;
        let (object, selector) = (&source.described_object.name, source.metric.selector.as_ref());
        let usage = metrics::of_object(self.client, self.namespace, &resource, object, &name, selector).await;
        let usage = usage.map_err(|source| Error::Metric { metric: name.clone(), source })?;
        let (replicas, current) = self.whole(usage, &source.target)?;
        let told = format!("{} metric {name}", source.described_object.kind);
        let status =
            ObjectMetricStatus { metric: source.metric, current, described_object: source.described_object };
        let status =
            MetricStatus { type_: metric.type_.clone(), object: Some(status), ..MetricStatus::default() };
        Ok(Answer { replicas, name: told, status })
    }

    async fn external(&self, metric: &MetricSpec) -> Result<Answer, Error> {
        let source = metric.external.clone().unwrap_or_default();
        let MetricIdentifier { name, selector } = source.metric.clone();
        let usage = metrics::of_external(self.client, self.namespace, &name, selector.as_ref()).await;
        let usage = usage.map_err(|source| Error::Metric { metric: name.clone(), source })?;
        let (replicas, current) = self.whole(usage, &source.target)?;
        let status = ExternalMetricStatus { metric: source.metric, current };
        let status =
            MetricStatus { type_: metric.type_.clone(), external: Some(status), ..MetricStatus::default() };
        let told = selector.map_or("nil".to_owned(), |selector| {
            let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}:{value}"));
            format!(
                "&LabelSelector{{MatchLabels:map[string]string{{{}}}}}",
                labels.collect::<Vec<_>>().join(",")
            )
        });
        Ok(Answer { replicas, name: format!("external metric {name}({told})"), status })
    }

    /// One value for all replicas, or a share for each.
    fn whole(&self, usage: i64, target: &MetricTarget) -> Result<(i32, MetricValueStatus), Error> {
        if let Some(value) = &target.average_value {
            let replicas = of_average(self.status_replicas, usage, target_milli(value)?, self.tolerance);
            let share = usage.checked_div(i64::from(self.status_replicas)).unwrap_or(0);
            let current =
                MetricValueStatus { average_value: Some(in_units(share)), ..MetricValueStatus::default() };
            return Ok((replicas, current));
        }
        let value = target.value.as_ref().ok_or(Error::NoTarget)?;
        let ready =
            self.pods.iter().filter(|pod| pods::phase(pod) == "Running" && pods::is_ready(pod)).count();
        let replicas =
            of_value(self.spec_replicas, ready as i32, usage, target_milli(value)?, self.tolerance);
        Ok((replicas, MetricValueStatus { value: Some(in_units(usage)), ..MetricValueStatus::default() }))
    }
}

fn suffix(target: &MetricTarget) -> &'static str {
    if target.average_value.is_some() { "" } else { " utilization (percentage of request)" }
}

/// What a pod asks for, with its restartable init containers; each that counts must ask.
fn request(pod: &Pod, name: &str, resource: &str, wanted: Option<&str>) -> Result<i64, Error> {
    let spec = pod.spec.clone().unwrap_or_default();
    let sidecars = spec.init_containers.unwrap_or_default().into_iter();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let all = spec.containers.into_iter().chain(sidecars);
    let chosen: Vec<_> =
        all.filter(|container| wanted.is_none_or(|wanted| container.name == wanted)).collect();
    if let Some(wanted) = wanted
        && chosen.is_empty()
    {
        return Err(Error::Container { container: wanted.to_owned(), pod: name.to_owned() });
    }
    let mut total = 0;
    for container in chosen {
        let requests = container.resources.and_then(|resources| resources.requests).unwrap_or_default();
        let request = requests.get(resource).ok_or_else(|| Error::Request {
            resource: resource.to_owned(),
            container: container.name.clone(),
            pod: name.to_owned(),
        })?;
        total += metrics::milli(&request.0).map_err(|source| Error::Target { source })?;
    }
    Ok(total)
}
