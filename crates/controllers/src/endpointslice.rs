//! Keeps the EndpointSlices of each Service that selects pods, changing as few slices as it can.
//!
//! Upstream: pkg/controller/endpointslice with staging/.../endpointslice. Differs: zone hints are not given yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::ObjectMeta;

use crate::context::Context;
use crate::owners;
use crate::service_pods::{Backend, backends, selector_of, services_of, target_port};

/// Endpoints in one slice (upstream's default).
const MOST: usize = 100;
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: (&str, &str) =
    ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";
const BY_SERVICE: &str = "service";

struct Reconciler {
    context: Context,
    services: Store<Service>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    slices: Store<EndpointSlice>,
}

pub(crate) async fn start(context: Context) {
    let hub = &context.hub;
    let (services, pods) = (hub.store::<Service>(), hub.store::<Pod>());
    let (nodes, slices) = (hub.store::<Node>(), hub.store::<EndpointSlice>());
    slices.add_index(BY_SERVICE, |slice| service_of(slice).map(|key| key.to_string()).into_iter().collect());
    if !(services.synced().await && pods.synced().await && nodes.synced().await && slices.synced().await) {
        return;
    }
    let all = services.clone();
    Controller::new("endpointslice", hub)
        .reconciles(&services)
        .watches(&slices, slice_changed)
        .watches(&pods, move |change| services_of(change, &all))
        .run(Arc::new(Reconciler { services, pods, nodes, slices, context }));
}

fn slice_changed(change: &Change<EndpointSlice>) -> Vec<Key> {
    service_of(change.object()).into_iter().collect()
}

/// The Service of a slice that is ours.
fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let labels = slice.metadata.labels.as_ref()?;
    let ours = labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1);
    let name = labels.get(SERVICE_NAME).filter(|_| ours)?;
    Some(Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let service = self.services.get(key);
        let current = self.slices.by_index(BY_SERVICE, &key.to_string());
        let current: Vec<_> =
            current.into_iter().filter(|s| s.metadata.deletion_timestamp.is_none()).collect();
        let plan = match service {
            // The slices of a Service that is gone are the garbage collector's.
            None => return Ok(Next::AwaitChange),
            Some(service) if service.metadata.deletion_timestamp.is_some() => return Ok(Next::AwaitChange),
            Some(service) => match selector_of(&service) {
                None => return Ok(Next::AwaitChange),
                Some(_) => self.plan(&service, &current),
            },
        };
        self.carry_out(key, plan).await?;
        Ok(Next::AwaitChange)
    }
}

/// What has to happen to the slices of one Service.
#[derive(Debug, Default)]
struct Plan {
    create: Vec<EndpointSlice>,
    update: Vec<EndpointSlice>,
    delete: Vec<Arc<EndpointSlice>>,
}

type Ports = Option<Vec<EndpointPort>>;

impl Reconciler {
    fn plan(&self, service: &Service, current: &[Arc<EndpointSlice>]) -> Plan {
        let wanted = self.wanted(service);
        plan(&template(service), wanted, current)
    }

    /// Endpoints by address family and port set.
    fn wanted(&self, service: &Service) -> Vec<(&'static str, Ports, Vec<Endpoint>)> {
        let mut groups: Vec<(&'static str, Ports, Vec<Endpoint>)> = Vec::new();
        for backend in backends(service, &self.pods) {
            let family = if backend.ip.contains(':') { "IPv6" } else { "IPv4" };
            let ports = ports(service, &backend.pod);
            let endpoint = self.endpoint(service, &backend);
            match groups.iter_mut().find(|(f, p, _)| *f == family && *p == ports) {
                Some((_, _, endpoints)) => endpoints.push(endpoint),
                None => groups.push((family, ports, vec![endpoint])),
            }
        }
        groups
    }

    fn endpoint(&self, service: &Service, backend: &Backend) -> Endpoint {
        let node = backend.node();
        let zone = node.as_ref().and_then(|name| {
            self.nodes.get(&Key::new("", name.clone()))?.metadata.labels.as_ref()?.get(ZONE).cloned()
        });
        Endpoint {
            addresses: vec![backend.ip.clone()],
            conditions: Some(EndpointConditions {
                ready: Some(backend.ready),
                serving: Some(backend.serving),
                terminating: Some(backend.terminating),
            }),
            hostname: backend.hostname(service),
            node_name: node,
            target_ref: Some(backend.target()),
            zone,
            ..Endpoint::default()
        }
    }

    async fn carry_out(&self, key: &Key, plan: Plan) -> kube::Result<()> {
        let api: Api<EndpointSlice> = Api::namespaced(self.context.client.clone(), &key.namespace);
        for slice in plan.create {
            match api.create(&PostParams::default(), &slice).await {
                Err(error) if client::is_namespace_terminating(&error) => return Ok(()),
                result => result.map(|_| ())?,
            }
        }
        for slice in plan.update {
            let name = slice.metadata.name.clone().unwrap_or_default();
            api.replace(&name, &PostParams::default(), &slice).await?;
        }
        for slice in plan.delete {
            let same = Preconditions { uid: slice.metadata.uid.clone(), resource_version: None };
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            match api.delete(name, &DeleteParams::default().preconditions(same)).await {
                Err(error) if !client::is_not_found(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn ports(service: &Service, pod: &Pod) -> Ports {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let ports: Vec<_> = ports
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(target_port(pod, port)?),
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}

/// What every slice of the Service carries.
fn template(service: &Service) -> ObjectMeta {
    let name = service.metadata.name.clone().unwrap_or_default();
    let mut labels: BTreeMap<String, String> = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), name.clone());
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    }
    ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels),
        owner_references: Some(vec![owners::controller_ref(service)]),
        ..ObjectMeta::default()
    }
}

/// Keeps endpoints where they are, fills slices with room, then makes new ones; slices left empty go.
fn plan(
    template: &ObjectMeta,
    wanted: Vec<(&'static str, Ports, Vec<Endpoint>)>,
    current: &[Arc<EndpointSlice>],
) -> Plan {
    let mut plan = Plan::default();
    let mut unused: Vec<_> = current.to_vec();
    for (family, ports, endpoints) in wanted {
        let (mine, others): (Vec<_>, Vec<_>) =
            unused.into_iter().partition(|slice| slice.address_type == family && slice.ports == ports);
        unused = others;
        fill(&mut plan, template, family, &ports, endpoints, mine);
    }
    // A Service without pods keeps one slice, so that consumers see that it was looked at.
    if plan.create.is_empty() && plan.update.is_empty() && unused.len() == current.len() {
        match unused.pop() {
            Some(kept) if kept.endpoints.iter().flatten().next().is_none() => {}
            Some(kept) => plan.update.push(EndpointSlice { endpoints: None, ports: None, ..(*kept).clone() }),
            None => plan.create.push(new_slice(template, "IPv4", None, Vec::new())),
        }
    }
    plan.delete.extend(unused);
    plan
}

fn fill(
    plan: &mut Plan,
    template: &ObjectMeta,
    family: &str,
    ports: &Ports,
    endpoints: Vec<Endpoint>,
    slices: Vec<Arc<EndpointSlice>>,
) {
    let mut left: BTreeMap<String, Endpoint> =
        endpoints.into_iter().map(|endpoint| (endpoint.addresses[0].clone(), endpoint)).collect();
    let keep = |slice: &EndpointSlice, left: &mut BTreeMap<String, Endpoint>| -> Vec<Endpoint> {
        let old = slice.endpoints.iter().flatten();
        old.filter_map(|endpoint| left.remove(endpoint.addresses.first()?)).collect()
    };
    let kept: Vec<_> = slices.into_iter().map(|slice| (keep(&slice, &mut left), slice)).collect();
    let mut new = left.into_values();
    for (mut endpoints, slice) in kept {
        let room = MOST.saturating_sub(endpoints.len());
        endpoints.extend(new.by_ref().take(room));
        let same_labels = slice.metadata.labels == template.labels;
        if endpoints.is_empty() {
            plan.delete.push(slice);
        } else if slice.endpoints.as_ref() != Some(&endpoints) || !same_labels {
            let mut changed = (*slice).clone();
            changed.endpoints = Some(endpoints);
            changed.metadata.labels.clone_from(&template.labels);
            plan.update.push(changed);
        }
    }
    let rest: Vec<_> = new.collect();
    for chunk in rest.chunks(MOST) {
        plan.create.push(new_slice(template, family, ports.clone(), chunk.to_vec()));
    }
}

fn new_slice(template: &ObjectMeta, family: &str, ports: Ports, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        metadata: template.clone(),
        address_type: family.to_owned(),
        endpoints: (!endpoints.is_empty()).then_some(endpoints),
        ports,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(ip: &str) -> Endpoint {
        Endpoint { addresses: vec![ip.to_owned()], ..Endpoint::default() }
    }

    fn slice(name: &str, ips: &[&str]) -> Arc<EndpointSlice> {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        Arc::new(EndpointSlice {
            metadata,
            ..new_slice(&ObjectMeta::default(), "IPv4", None, ips.iter().map(|ip| endpoint(ip)).collect())
        })
    }

    fn counts(wanted: &[&str], current: &[Arc<EndpointSlice>]) -> (usize, usize, usize) {
        let groups = if wanted.is_empty() {
            vec![]
        } else {
            vec![("IPv4", None, wanted.iter().map(|ip| endpoint(ip)).collect())]
        };
        let plan = plan(&ObjectMeta::default(), groups, current);
        (plan.create.len(), plan.update.len(), plan.delete.len())
    }

    #[test]
    fn as_few_slices_change_as_can_be() {
        assert_eq!(counts(&["1"], &[]), (1, 0, 0));
        assert_eq!(counts(&["1"], &[slice("a", &["1"])]), (0, 0, 0));
        assert_eq!(counts(&["1", "2"], &[slice("a", &["1"])]), (0, 1, 0));
        assert_eq!(counts(&["2"], &[slice("a", &["1"]), slice("b", &["2"])]), (0, 0, 1));
        assert_eq!(counts(&[], &[slice("a", &["1"])]), (0, 1, 0));
        assert_eq!(counts(&[], &[]), (1, 0, 0));
    }

    #[test]
    fn a_slice_holds_a_hundred() {
        let ips: Vec<String> = (0..250).map(|i| i.to_string()).collect();
        let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
        assert_eq!(counts(&ips, &[]), (3, 0, 0));
    }
}
