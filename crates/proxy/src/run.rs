//! The proxy of one node: follows Services, EndpointSlices and its Node, and keeps the table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::{Change, Changes, Hub, Key, Object, Store};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use linux::net::nft::Family;
use stdx::{Backoff, Clock, Shutdown, Tasks, error_chain};

use crate::desired::Desired;
use crate::health::Servers;
use crate::kernel::{Kernel, KernelError};
use crate::network::Network;
use crate::node::Facts;
use crate::table_name;

/// How long tasks may take to end after a shutdown.
const DRAIN: Duration = Duration::from_secs(2);
const BY_SERVICE: &str = "service";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub struct Config {
    pub node_name: String,
    /// Acts as `system:kube-proxy`.
    pub client: Client,
    pub clock: Clock,
    /// What the table's name ends in: tells clusters on one machine apart.
    pub suffix: String,
    /// The ranges of all pods of the cluster; what comes from elsewhere to a ClusterIP is masqueraded.
    pub pod_ranges: Vec<Network>,
}

/// Why the proxy cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the work on the table ended early")]
    Worker(#[source] tokio::task::JoinError),
}

pub struct Proxy {
    config: Config,
}

/// What is kept between changes; handed to a blocking thread and back.
struct State {
    desired: Desired,
    kernel: Kernel,
}

impl Proxy {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Runs until shutdown. The table stays: known Services go on while nobody watches them.
    ///
    /// # Errors
    /// The work on the table panicked.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let tasks = Tasks::new();
        let (client, clock) = (self.config.client.clone(), self.config.clock.clone());
        let hub = Hub::new(client, clock, tasks.clone(), shutdown.clone());
        let result = self.follow(&hub, &shutdown).await;
        if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
            tracing::warn!("the proxy's tasks did not end in time");
        }
        result
    }

    async fn follow(self, hub: &Hub, shutdown: &Shutdown) -> Result<(), Error> {
        let mut inputs = Inputs::new(hub, &self.config.node_name);
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            synced = inputs.synced() => if !synced { return Ok(()) },
        }
        let name = table_name(&self.config.suffix);
        let mut state = Some(State {
            desired: Desired::new(Family::Ipv4, &self.config.pod_ranges),
            kernel: Kernel::new(Family::Ipv4, name),
        });
        let mut servers = Servers::new(hub.tasks().clone(), shutdown.clone());
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let mut retry = false;
        loop {
            let dirty = tokio::select! {
                () = shutdown.wait() => return Ok(()),
                dirty = inputs.next() => dirty,
                () = self.config.clock.sleep(backoff.step()), if retry => BTreeSet::new(),
            };
            let Some(mut work) = state.take() else { return Ok(()) };
            inputs.take_in(&mut work.desired, &self.config.node_name, dirty);
            let (work, result) = sync(work).await?;
            retry = result.is_err();
            match result {
                Ok(()) => backoff.reset(),
                Err(error) => tracing::error!(error = error_chain(&error), "Services are out of date"),
            }
            servers.set(work.desired.health()).await;
            state = Some(work);
        }
    }
}

async fn sync(mut state: State) -> Result<(State, Result<(), KernelError>), Error> {
    let work = tokio::task::spawn_blocking(move || {
        let result = state.kernel.sync(&mut state.desired);
        (state, result)
    });
    work.await.map_err(Error::Worker)
}

/// What the loop listens to.
struct Inputs {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    nodes: Store<Node>,
    service_changes: Changes<Service>,
    slice_changes: Changes<EndpointSlice>,
    node_changes: Changes<Node>,
}

impl Inputs {
    fn new(hub: &Hub, node: &str) -> Self {
        let (services, slices) = (hub.store::<Service>(), hub.store::<EndpointSlice>());
        let nodes = hub.selected::<Node>(format!("metadata.name={node}"));
        slices.add_index(BY_SERVICE, |slice| service_of(slice).iter().map(ToString::to_string).collect());
        Self {
            service_changes: services.subscribe(),
            slice_changes: slices.subscribe(),
            node_changes: nodes.subscribe(),
            services,
            slices,
            nodes,
        }
    }

    async fn synced(&self) -> bool {
        self.services.synced().await && self.slices.synced().await && self.nodes.synced().await
    }

    /// The Services that changed since the last call: all that are known by now, at least one change.
    async fn next(&mut self) -> BTreeSet<Key> {
        let mut dirty = BTreeSet::new();
        tokio::select! {
            Some(change) = self.service_changes.recv() => dirty.extend(changed(&change)),
            Some(change) = self.slice_changes.recv() => dirty.extend(slice_changed(&change)),
            Some(_) = self.node_changes.recv() => {}
            else => std::future::pending().await,
        }
        dirty.extend(std::iter::from_fn(|| self.service_changes.try_recv().ok()).flat_map(|c| changed(&c)));
        dirty.extend(
            std::iter::from_fn(|| self.slice_changes.try_recv().ok()).flat_map(|c| slice_changed(&c)),
        );
        // The node is looked at anyway.
        std::iter::from_fn(|| self.node_changes.try_recv().ok()).for_each(drop);
        dirty
    }

    fn take_in(&self, desired: &mut Desired, node: &str, mut dirty: BTreeSet<Key>) {
        let facts = Facts::of(node, self.nodes.get(&Key::new("", node)).as_deref());
        if desired.set_facts(facts) {
            dirty.extend(self.services.list().iter().map(|service| Key::of(&**service)));
        }
        for key in dirty {
            let slices: Vec<Arc<EndpointSlice>> = self.slices.by_index(BY_SERVICE, &key.to_string());
            desired.set(&key, self.services.get(&key).as_deref(), &slices);
        }
    }
}

fn changed<K: Object>(change: &Change<K>) -> Option<Key> {
    Some(Key::of(&**change.object()))
}

/// A slice may have moved from one Service to another.
fn slice_changed(change: &Change<EndpointSlice>) -> Vec<Key> {
    let old = match change {
        Change::Applied { old, .. } => old.as_deref().and_then(service_of),
        Change::Deleted(_) => None,
    };
    old.into_iter().chain(service_of(change.object())).collect()
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    Some(Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}
