//! Starts every controller, each with an identity of its own.

use std::path::PathBuf;
use std::time::Duration;

use client::{Hub, LeaderElection, Recorder};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use kube::Client;
use stdx::{Clock, Shutdown, Tasks};

use crate::context::{ClientFor, Context};
use crate::{
    certificates, cronjob, daemonset, deployment, disruption, endpoints, endpointslice, garbage_collector,
    job, namespace, node_ipam, node_lifecycle, pod_gc, replicaset, root_ca, service_account, statefulset,
    taint_eviction, ttl_after_finished, volumes,
};

/// How long tasks may take to end after a shutdown.
const DRAIN: Duration = Duration::from_secs(5);

pub struct Config {
    /// Acts as `system:kube-controller-manager`: reads, and holds the lease.
    pub client: Client,
    /// Acts as one controller.
    pub client_for: ClientFor,
    /// The cluster's root certificate in PEM, published to every namespace.
    pub root_ca: String,
    /// Signs certificate requests; none where another process does.
    pub signer: Option<pki::Authority>,
    /// Where nodes get their ranges of pod addresses from; none where they have their own.
    pub cluster_ranges: Option<crate::ClusterRanges>,
    /// Where volumes of the local-path provisioner lie, on every node.
    pub local_volumes: PathBuf,
    /// Who this is among several managers; none where there is only one, as in the all-in-one process.
    pub identity: Option<String>,
    pub clock: Clock,
}

/// The controller manager.
pub struct Manager {
    config: Config,
}

impl Manager {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Runs until shutdown, or until the lead is lost.
    ///
    /// # Errors
    /// The lease was lost to another manager.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), client::ElectionError> {
        let Some(identity) = &self.config.identity else {
            return {
                self.lead(&shutdown).await;
                Ok(())
            };
        };
        let (client, clock) = (self.config.client.clone(), self.config.clock.clone());
        let mut election = LeaderElection::new(client, "kube-controller-manager", identity, clock);
        if !election.acquire(&shutdown).await {
            return Ok(());
        }
        let (trigger, leading) = shutdown.child();
        let (held, ()) = tokio::join!(
            async {
                let held = election.hold(&shutdown).await;
                trigger.shut_down();
                held
            },
            self.lead(&leading)
        );
        held
    }

    async fn lead(&self, shutdown: &Shutdown) {
        let tasks = Tasks::new();
        self.start_all(&tasks, shutdown);
        shutdown.wait().await;
        if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
            tracing::warn!("controllers did not end in time");
        }
    }

    fn start_all(&self, tasks: &Tasks, shutdown: &Shutdown) {
        let hub =
            Hub::new(self.config.client.clone(), self.config.clock.clone(), tasks.clone(), shutdown.clone());
        let context = |name: &str| self.context(&hub, name);
        let root = self.config.root_ca.clone();
        tasks.spawn("deployment", deployment::start(context("deployment-controller")));
        let sets = replicaset::start::<ReplicaSet>(context("replicaset-controller"), "replicaset");
        tasks.spawn("replicaset", sets);
        let controllers = context("replication-controller");
        let controllers = replicaset::start::<ReplicationController>(controllers, "replication-controller");
        tasks.spawn("replication-controller", controllers);
        tasks.spawn("cronjob", cronjob::start(context("cronjob-controller")));
        tasks.spawn("job", job::start(context("job-controller")));
        tasks.spawn("namespace", namespace::start(context("namespace-controller")));
        tasks.spawn("service-account", service_account::start(context("service-account-controller")));
        tasks.spawn("root-ca-publisher", root_ca::start(context("root-ca-cert-publisher"), root));
        tasks.spawn("endpoint", endpoints::start(context("endpoint-controller")));
        tasks.spawn("endpointslice", endpointslice::start(context("endpointslice-controller")));
        tasks.spawn("garbage-collector", garbage_collector::start(context("generic-garbage-collector")));
        tasks.spawn("pod-gc", pod_gc::start(context("pod-garbage-collector")));
        tasks.spawn("node-lifecycle", node_lifecycle::start(context("node-controller")));
        tasks.spawn("daemonset", daemonset::start(context("daemon-set-controller")));
        tasks.spawn("disruption", disruption::start(context("disruption-controller")));
        let autoscaler = context("horizontal-pod-autoscaler");
        tasks.spawn("horizontal-pod-autoscaler", crate::autoscaler::start(autoscaler));
        let quota = context("resourcequota-controller");
        tasks.spawn("resourcequota", crate::resource_quota::start(quota));
        let roles = context("clusterrole-aggregation-controller");
        tasks.spawn("clusterrole-aggregation", crate::cluster_roles::start(roles));
        tasks.spawn("bootstrap-signer", crate::bootstrap_signer::start(context("bootstrap-signer")));
        tasks.spawn("token-cleaner", crate::token_cleaner::start(context("token-cleaner")));
        let ranges = context("service-cidrs-controller");
        tasks.spawn("service-cidrs", crate::service_cidrs::start(ranges));
        tasks.spawn("statefulset", statefulset::start(context("statefulset-controller")));
        tasks.spawn("taint-eviction", taint_eviction::start(context("node-controller")));
        tasks
            .spawn("ttl-after-finished", ttl_after_finished::start(context("ttl-after-finished-controller")));
        tasks.spawn("certificates", certificates::start(context("certificate-controller")));
        if let Some(signer) = self.config.signer.clone() {
            let context = context("certificate-controller");
            tasks.spawn("csr-signer", certificates::start_signer(context, signer));
        }
        if let Some(ranges) = self.config.cluster_ranges.clone() {
            tasks.spawn("node-ipam", node_ipam::start(context("node-controller"), ranges));
        }
        self.start_volumes(tasks, &context);
    }

    fn start_volumes(&self, tasks: &Tasks, context: &dyn Fn(&str) -> Context) {
        use volumes::{binder, ephemeral, expand, local_path, protection};
        let root = self.config.local_volumes.clone();
        tasks.spawn("volume-binder", binder::start(context("persistent-volume-binder")));
        tasks.spawn("pvc-protection", protection::start_claims(context("pvc-protection-controller")));
        tasks.spawn("pv-protection", protection::start_volumes(context("pv-protection-controller")));
        tasks.spawn("ephemeral-volume", ephemeral::start(context("ephemeral-volume-controller")));
        tasks.spawn("volume-expander", expand::start(context("expand-controller")));
        tasks.spawn("local-path", local_path::start(context("local-path-provisioner"), root));
    }

    fn context(&self, hub: &Hub, name: &str) -> Context {
        let client = (self.config.client_for)(name);
        // Upstream's events carry the controller's name, as in `deployment-controller`.
        let recorder = Recorder::new(client.clone(), name, "", self.config.clock.clone(), hub.tasks());
        Context { hub: hub.clone(), client, recorder, clock: self.config.clock.clone() }
    }
}
