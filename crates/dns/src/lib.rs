//! The cluster's DNS server: what the Kubernetes DNS specification 1.1 promises, and the node's resolvers for the rest.
//!
//! Answers from informers, so that it goes on answering while the API server is away. Never asks the API server for
//! the sake of a query, never waits for anything but a resolver. The wire format is our own three files ([`wire`]):
//! queries are looked at where they lie, and answers are kept as the bytes that are sent, which no general message
//! type allows.
//!
//! Every node serves at the cluster's DNS address itself (see [`listen`]), so that no query leaves its node.
//!
//! Reading order: [`wire`], [`question`] (what a name asks for), [`view`] (what the cluster has), [`zone`] (the
//! answers), [`cache`], [`forward`], [`resolver`] (a query's way), [`serve`], [`settings`], [`objects`] (what stands
//! in the API for it).

mod cache;
mod forward;
mod listen;
mod metrics;
mod objects;
mod question;
mod resolver;
mod serve;
mod settings;
#[cfg(test)]
mod tests;
mod upstreams;
mod view;
mod wire;
mod zone;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use client::Hub;
use stdx::{Clock, Random, Shutdown, Tasks};

pub use listen::{BindError, Bound, give_back};
pub use metrics::Metrics;
pub use objects::{SERVICE, ensure};

/// What a DNS server has to be told.
pub struct Config {
    /// May watch services, endpoint slices, namespaces, and the settings.
    pub client: kube::Client,
    /// `cluster.local`.
    pub domain: String,
    /// The address of the Service kube-dns: what the zone's own name server is called.
    pub service: IpAddr,
    /// Where the node's resolvers stand: `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    pub clock: Clock,
    pub random: Random,
}

/// A node's DNS server.
pub struct Server {
    config: Config,
    metrics: Arc<Metrics>,
}

impl Server {
    pub fn new(config: Config) -> Self {
        Self { config, metrics: Arc::default() }
    }

    /// Counters, in the names that CoreDNS gave them.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Serves until shutdown. Queries that come before the informers know all are kept waiting.
    pub async fn run(self, bound: Bound, shutdown: Shutdown) {
        let tasks = Tasks::new();
        let config = self.config;
        let hub = Hub::new(config.client.clone(), config.clock.clone(), tasks.clone(), shutdown.clone());
        let view = view::View::watch(&hub);
        let settings = settings::follow(&hub);
        let own = vec![bound.address(), config.service];
        let upstreams = upstreams::Upstreams::new(config.resolv_conf, own, settings.clone());
        let resolver = Arc::new(resolver::Resolver::new(
            zone::Zone::new(
                config.domain,
                config.service,
                view.clone(),
                settings.clone(),
                config.random.clone(),
            ),
            forward::Forwarder::new(upstreams, config.clock.clone(), config.random),
            settings,
            self.metrics,
            config.clock,
        ));
        resolver.drop_answers_when_the_cluster_changes(&view, &tasks, &shutdown);
        tokio::select! {
            () = shutdown.wait() => {}
            () = view.synced() => serve::start(bound, resolver, &tasks, &shutdown),
        }
        shutdown.wait().await;
        tasks.wait().await;
    }
}
