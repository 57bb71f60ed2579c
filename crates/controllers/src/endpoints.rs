//! Keeps the Endpoints object of each Service that selects pods: for clients older than EndpointSlices.
//!
//! Upstream: pkg/controller/endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use kube::core::ObjectMeta;

use crate::context::Context;
use crate::service_pods::{Backend, backends, selector_of, services_of, target_port};

/// More addresses than this are left out (upstream: the same), as the annotation then says.
const MOST_ADDRESSES: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

struct Reconciler {
    context: Context,
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
}

pub(crate) async fn start(context: Context) {
    let hub = &context.hub;
    let (services, pods, endpoints) = (hub.store::<Service>(), hub.store::<Pod>(), hub.store::<Endpoints>());
    if !(services.synced().await && pods.synced().await && endpoints.synced().await) {
        return;
    }
    let all = services.clone();
    Controller::new("endpoint", hub)
        .reconciles(&services)
        .reconciles(&endpoints)
        .watches(&pods, move |change| services_of(change, &all))
        .run(Arc::new(Reconciler { services, pods, endpoints, context }));
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let api: Api<Endpoints> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let current = self.endpoints.get(key);
        let Some(service) = self.services.get(key) else {
            if current.is_some_and(|current| is_ours(&current)) {
                ignore(api.delete(&key.name, &DeleteParams::default()).await, client::is_not_found)?;
            }
            return Ok(Next::AwaitChange);
        };
        if selector_of(&service).is_none() {
            return Ok(Next::AwaitChange);
        }
        let wanted = wanted(&service, &backends(&service, &self.pods));
        match current {
            Some(current) if current.subsets == wanted.subsets && carries(&current, &wanted) => {}
            Some(current) => {
                let mut changed = wanted;
                changed.metadata.resource_version = current.metadata.resource_version.clone();
                api.replace(&key.name, &PostParams::default(), &changed).await?;
            }
            None => {
                let created = api.create(&PostParams::default(), &wanted).await;
                ignore(created, client::is_namespace_terminating)?;
            }
        }
        Ok(Next::AwaitChange)
    }
}

fn ignore<T>(result: kube::Result<T>, harmless: impl Fn(&kube::Error) -> bool) -> kube::Result<()> {
    match result {
        Err(error) if !harmless(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_ours(endpoints: &Endpoints) -> bool {
    endpoints
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(MANAGED_BY.0))
        .is_some_and(|by| by == MANAGED_BY.1)
}

fn carries(current: &Endpoints, wanted: &Endpoints) -> bool {
    let none = BTreeMap::new();
    let labels = current.metadata.labels.as_ref().unwrap_or(&none);
    wanted.metadata.labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
}

fn wanted(service: &Service, backends: &[Backend]) -> Endpoints {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    }
    let annotations = (backends.len() > MOST_ADDRESSES)
        .then(|| [(OVER_CAPACITY.to_owned(), "truncated".to_owned())].into());
    let subsets = subsets(service, &backends[..backends.len().min(MOST_ADDRESSES)]);
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels),
            annotations,
            ..ObjectMeta::default()
        },
        subsets: (!subsets.is_empty()).then_some(subsets),
    }
}

/// Addresses with the same ports stand together, in the order of their first address.
fn subsets(service: &Service, backends: &[Backend]) -> Vec<EndpointSubset> {
    let mut subsets: Vec<EndpointSubset> = Vec::new();
    for backend in backends.iter().filter(|backend| backend.ready || !backend.terminating) {
        let ports = ports(service, &backend.pod);
        let subset = match subsets.iter().position(|subset| subset.ports == ports) {
            Some(index) => &mut subsets[index],
            None => {
                subsets.push(EndpointSubset { ports, ..EndpointSubset::default() });
                subsets.last_mut().expect("just pushed")
            }
        };
        let list = if backend.ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(EndpointAddress {
            ip: backend.ip.clone(),
            hostname: backend.hostname(service),
            node_name: backend.node(),
            target_ref: Some(backend.target()),
        });
    }
    subsets
}

fn ports(service: &Service, pod: &Pod) -> Option<Vec<EndpointPort>> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let ports: Vec<_> = ports
        .filter_map(|port| {
            Some(EndpointPort {
                name: port.name.clone(),
                port: target_port(pod, port)?,
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ready_and_not_ready_addresses_with_their_ports() {
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "n"},
            "spec": {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}}))
        .expect("a service");
        let pod = |name: &str, ip: &str, ready: &str, port: i32| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n", "labels": {"app": "a"}},
                "spec": {"nodeName": "node", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]},
                "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]}}))
            .expect("a pod")
        };
        let pods = Store::fixed([
            pod("a", "10.0.0.1", "True", 8080),
            pod("b", "10.0.0.2", "False", 8080),
            pod("c", "10.0.0.3", "True", 9090),
        ]);
        let told: Vec<_> = wanted(&service, &backends(&service, &pods))
            .subsets
            .into_iter()
            .flatten()
            .map(|subset| {
                let ips = |list: Option<Vec<EndpointAddress>>| {
                    list.into_iter().flatten().map(|a| a.ip).collect::<Vec<_>>().join(",")
                };
                format!(
                    "{}|{}:{}",
                    ips(subset.addresses),
                    ips(subset.not_ready_addresses),
                    subset.ports.expect("has")[0].port
                )
            })
            .collect();
        assert_eq!(told, ["10.0.0.1|10.0.0.2:8080", "10.0.0.3|:9090"]);
    }
}
