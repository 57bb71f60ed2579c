//! The loop: takes in what changed, tries one pod, lets the binding run beside it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::{Change, Changes, ElectionError, Hub, Key, LeaderElection, Recorder, Store};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use stdx::{Clock, Shutdown, Tasks};
use tokio::sync::{Notify, mpsc};

use crate::binding::{Waits, Writer};
use crate::cache::Cache;
use crate::changes;
use crate::config::{Config, DEFAULT_SCHEDULER};
use crate::cycle::{Chosen, Cycle, Failure};
use crate::framework::{Event, Framework, Kinds, Preemption, Rejection, Verdict};
use crate::nominator::Nominator;
use crate::plugins;
use crate::pod_info::PodInfo;
use crate::queue::{Frameworks, Queue, QueuedPod};
use crate::sources::Sources;

/// How long tasks may take to end after a shutdown.
const DRAIN: Duration = Duration::from_secs(5);
const LEASE: &str = "kube-scheduler";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the scheduler no longer leads")]
    Lead(#[from] ElectionError),
}

/// The component.
pub struct Scheduler {
    config: Config,
}

impl Scheduler {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Runs until shutdown, or until the lead is lost.
    ///
    /// # Errors
    /// The lease was lost to another scheduler.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let Some(identity) = &self.config.identity else {
            self.lead(&shutdown).await;
            return Ok(());
        };
        let (client, clock) = (self.config.client.clone(), self.config.clock.clone());
        let mut election = LeaderElection::new(client, LEASE, identity, clock);
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
        Ok(held?)
    }

    async fn lead(&self, shutdown: &Shutdown) {
        let tasks = Tasks::new();
        let hub =
            Hub::new(self.config.client.clone(), self.config.clock.clone(), tasks.clone(), shutdown.clone());
        let sources = Sources::new(&hub);
        let mut work = Work::new(&self.config, &hub, &sources);
        let mut inputs = Inputs::new(&hub, &sources);
        if inputs.synced().await && sources.synced().await {
            work.run(&mut inputs, shutdown).await;
        }
        drop(work);
        if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
            tracing::warn!("bindings did not end in time");
        }
    }
}

/// What the loop listens to.
struct Inputs {
    stores: (Store<Pod>, Store<Node>, Store<Namespace>),
    pods: Changes<Pod>,
    nodes: Changes<Node>,
    namespaces: Changes<Namespace>,
    claims: Changes<PersistentVolumeClaim>,
    volumes: Changes<PersistentVolume>,
    classes: Changes<StorageClass>,
}

impl Inputs {
    fn new(hub: &Hub, sources: &Sources) -> Self {
        let (pods, nodes, namespaces) = (hub.store::<Pod>(), hub.store::<Node>(), hub.store::<Namespace>());
        Self {
            pods: pods.subscribe(),
            nodes: nodes.subscribe(),
            namespaces: namespaces.subscribe(),
            claims: sources.claims.subscribe(),
            volumes: sources.volumes.subscribe(),
            classes: sources.classes.subscribe(),
            stores: (pods, nodes, namespaces),
        }
    }

    /// Pods must not be refused because the nodes have not been read yet.
    async fn synced(&self) -> bool {
        let (pods, nodes, namespaces) = &self.stores;
        pods.synced().await && nodes.synced().await && namespaces.synced().await
    }
}

/// What a binding task reports.
struct Bound {
    pod: QueuedPod,
    node: String,
    result: Verdict,
}

/// The loop's own state.
struct Work {
    frameworks: Arc<Frameworks>,
    cache: Cache,
    queue: Queue,
    nominator: Nominator,
    cycle: Cycle,
    writer: Writer,
    pods: Store<Pod>,
    tasks: Tasks,
    report: mpsc::UnboundedSender<Bound>,
    reports: mpsc::UnboundedReceiver<Bound>,
    clock: Clock,
    claims_changed: Arc<Notify>,
}

impl Work {
    fn new(config: &Config, hub: &Hub, sources: &Sources) -> Self {
        let framework = |profile| plugins::framework(profile, Some(config.client.clone()), sources);
        let profiles = config.profiles.iter();
        let frameworks: Frameworks =
            profiles.map(|profile| (profile.scheduler_name.clone(), framework(profile))).collect();
        let frameworks = Arc::new(frameworks);
        let (client, clock) = (config.client.clone(), config.clock.clone());
        let recorder = Recorder::new(client.clone(), DEFAULT_SCHEDULER, "", clock.clone(), hub.tasks());
        let (report, reports) = mpsc::unbounded_channel();
        Self {
            queue: Queue::new(frameworks.clone(), clock.clone()),
            frameworks,
            cache: Cache::default(),
            nominator: Nominator::default(),
            cycle: Cycle::new(config.random.clone(), config.percentage_of_nodes_to_score),
            writer: Writer { client, recorder, clock: clock.clone() },
            pods: hub.store(),
            tasks: hub.tasks().clone(),
            report,
            reports,
            clock,
            claims_changed: sources.claims_changed.clone(),
        }
    }

    async fn run(&mut self, inputs: &mut Inputs, shutdown: &Shutdown) {
        while !shutdown.is_triggered() {
            self.take_in(inputs);
            if let Some(pod) = self.queue.pop() {
                self.schedule(pod);
                tokio::task::yield_now().await;
            } else if !self.wait(inputs, shutdown).await {
                return;
            }
        }
    }

    /// Everything that has already happened.
    fn take_in(&mut self, inputs: &mut Inputs) {
        while let Ok(change) = inputs.namespaces.try_recv() {
            self.namespace_changed(&change);
        }
        while let Ok(change) = inputs.nodes.try_recv() {
            self.node_changed(change);
        }
        self.storage_changed(inputs);
        while let Ok(change) = inputs.pods.try_recv() {
            self.pod_changed(change);
        }
        while let Ok(bound) = self.reports.try_recv() {
            self.bound(bound);
        }
    }

    /// Until something happens; false when nothing will any more.
    async fn wait(&mut self, inputs: &mut Inputs, shutdown: &Shutdown) -> bool {
        let timer = self.queue.next_timer();
        let clock = self.clock.clone();
        let timer = async {
            match timer {
                Some(after) => clock.sleep(after).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.wait() => return false,
            change = inputs.namespaces.recv() => match change {
                Some(change) => self.namespace_changed(&change),
                None => return false,
            },
            change = inputs.nodes.recv() => match change {
                Some(change) => self.node_changed(change),
                None => return false,
            },
            change = inputs.pods.recv() => match change {
                Some(change) => self.pod_changed(change),
                None => return false,
            },
            Some(change) = inputs.claims.recv() => self.claim_changed(&change),
            Some(_) = inputs.volumes.recv() => self.volume_changed(Kinds::VOLUME),
            Some(_) = inputs.classes.recv() => self.volume_changed(Kinds::STORAGE_CLASS),
            Some(bound) = self.reports.recv() => self.bound(bound),
            () = timer => {}
        }
        true
    }

    fn storage_changed(&mut self, inputs: &mut Inputs) {
        while let Ok(change) = inputs.claims.try_recv() {
            self.claim_changed(&change);
        }
        while inputs.volumes.try_recv().is_ok() {
            self.volume_changed(Kinds::VOLUME);
        }
        while inputs.classes.try_recv().is_ok() {
            self.volume_changed(Kinds::STORAGE_CLASS);
        }
    }

    fn claim_changed(&mut self, change: &Change<PersistentVolumeClaim>) {
        self.claims_changed.notify_waiters();
        if let Change::Applied { new, .. } = change {
            self.queue.cure(&Event::claim(Kinds::CLAIM, &Key::of(&**new)));
        }
    }

    fn volume_changed(&mut self, kinds: Kinds) {
        self.claims_changed.notify_waiters();
        self.queue.cure(&Event::of(kinds));
    }

    fn namespace_changed(&mut self, change: &Change<Namespace>) {
        let meta = &change.object().metadata;
        let name = meta.name.clone().unwrap_or_default();
        let namespaces = &mut self.cache.snapshot_mut().namespaces;
        match change {
            Change::Applied { .. } => {
                let labels = meta.labels.clone().unwrap_or_default();
                if namespaces.insert(name, labels.clone()).is_some_and(|old| old == labels) {
                    return;
                }
            }
            Change::Deleted(_) => {
                namespaces.remove(&name);
            }
        }
        self.queue.cure(&Event::of(Kinds::NAMESPACE));
    }

    fn node_changed(&mut self, change: Change<Node>) {
        match change {
            Change::Applied { old, new } => {
                let kinds = changes::of_node(old.as_deref(), &new);
                self.cache.set_node(new.clone());
                self.queue.cure(&Event::node(kinds, &new));
            }
            Change::Deleted(last) => {
                self.cache.remove_node(last.metadata.name.as_deref().unwrap_or_default());
                self.queue.cure(&Event::node(Kinds::NODE_DELETE, &last));
            }
        }
    }

    fn pod_changed(&mut self, change: Change<Pod>) {
        match change {
            Change::Deleted(last) => self.pod_gone(&last),
            Change::Applied { old, new } => {
                if let Some(old) = old.as_ref().filter(|old| old.metadata.uid != new.metadata.uid) {
                    self.pod_gone(old);
                }
                if changes::is_terminal(&new) {
                    self.pod_gone(&new);
                } else if changes::is_assigned(&new) {
                    self.pod_placed(new);
                } else {
                    self.pod_waits(old.as_deref(), new);
                }
            }
        }
    }

    fn pod_gone(&mut self, pod: &Arc<Pod>) {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        self.queue.remove(uid);
        let nominated = self.nominator.node_of(uid).is_some();
        self.nominator.remove(uid);
        let placed = self.cache.remove_pod(uid);
        // A node that was kept for it is as good as one that it leaves.
        let left = placed.or_else(|| nominated.then(|| Arc::new(PodInfo::new(pod.clone()))));
        if let Some(left) = left {
            self.queue.cure(&Event::pod(Kinds::ASSIGNED_POD_DELETE, &left));
        }
    }

    fn pod_placed(&mut self, pod: Arc<Pod>) {
        let info = Arc::new(PodInfo::new(pod));
        self.queue.remove(&info.uid);
        self.nominator.remove(&info.uid);
        let was_assumed = self.cache.is_assumed(&info.uid);
        let old = self.cache.set_pod(info.clone()).filter(|_| !was_assumed);
        let kinds = changes::of_placed(old.as_deref(), &info);
        self.queue.cure(&Event::pod(kinds, &info));
    }

    fn pod_waits(&mut self, old: Option<&Pod>, new: Arc<Pod>) {
        let info = Arc::new(PodInfo::new(new));
        // News of a pod that is being bound can only be older than the binding.
        if !self.frameworks.contains_key(info.scheduler_name()) || self.cache.is_assumed(&info.uid) {
            return;
        }
        self.follow_nomination(old, &info);
        let kinds = old.map_or(Kinds::NONE, |old| changes::of_waiting(old, &info));
        self.queue.update(info, kinds);
    }

    fn follow_nomination(&mut self, old: Option<&Pod>, info: &Arc<PodInfo>) {
        let told = info.nominated_node().map(str::to_owned);
        let before = old.and_then(|old| old.status.as_ref()?.nominated_node_name.as_deref());
        // Ours is newer than what the server says, unless that has just changed.
        let own = self.nominator.node_of(&info.uid).map(str::to_owned);
        let node = if told.as_deref() == before { own.or(told) } else { told };
        match node {
            Some(node) => self.nominator.nominate(info.clone(), &node),
            None => self.nominator.remove(&info.uid),
        }
    }

    fn schedule(&mut self, pod: QueuedPod) {
        let frameworks = self.frameworks.clone();
        let Some(framework) = frameworks.get(pod.info.scheduler_name()) else { return };
        if pod.info.is_terminating() {
            let message = format!("skip schedule deleting pod: {}", pod.info.key);
            return self.writer.tell_failure(&pod.info, &message);
        }
        let snapshot = self.cache.snapshot();
        match self.cycle.schedule(framework, &pod.info, snapshot, &self.nominator) {
            Ok(chosen) => self.assume(framework, pod, chosen),
            Err(Failure::NoNodes) => {
                self.park(pod, "no nodes available to schedule pods".to_owned(), BTreeSet::new(), None);
            }
            Err(Failure::Unfit { error, preemption }) => {
                let message = error.to_string();
                self.park(pod, message, error.diagnosis.plugins, preemption);
            }
            Err(Failure::Plugin(rejection)) => self.retry(pod, rejection.message()),
        }
    }

    fn assume(&mut self, framework: &Framework, pod: QueuedPod, chosen: Chosen) {
        let node = chosen.node;
        tracing::debug!(object = %pod.info.key, node, attempts = pod.attempts, evaluated = chosen.evaluated_nodes,
            feasible = chosen.feasible_nodes, "node chosen");
        if let Err(rejection) = reserve(framework, &pod.info, &node) {
            unreserve(framework, &pod.info, &node);
            return self.refuse(pod, rejection);
        }
        self.nominator.remove(&pod.info.uid);
        self.cache.assume(pod.info.clone(), &node);
        self.start_binding(pod, node);
    }

    fn start_binding(&self, mut pod: QueuedPod, node: String) {
        let (writer, report, frameworks) =
            (self.writer.clone(), self.report.clone(), self.frameworks.clone());
        self.tasks.spawn("bind", async move {
            wait_for(pod.last_write.take()).await;
            let Some(framework) = frameworks.get(pod.info.scheduler_name()) else { return };
            let result = writer.bind(framework, &pod.info, &node).await;
            // The loop may have ended; then nobody needs to know.
            let _ = report.send(Bound { pod, node, result });
        });
    }

    fn bound(&mut self, bound: Bound) {
        let Bound { mut pod, node, result } = bound;
        let Err(rejection) = result else { return };
        if let Some(framework) = self.frameworks.get(pod.info.scheduler_name()) {
            unreserve(framework, &pod.info, &node);
        }
        if self.cache.is_assumed(&pod.info.uid) {
            self.cache.remove_pod(&pod.info.uid);
            self.queue.cure(&Event::pod(Kinds::ASSIGNED_POD_DELETE, &pod.info));
        }
        let Some(current) = self.still_waits(&pod.info) else { return };
        pod.info = current;
        self.retry(pod, format!("binding rejected: {}", rejection.message()));
    }

    /// The pod as it is now, if it still needs a node.
    fn still_waits(&self, pod: &PodInfo) -> Option<Arc<PodInfo>> {
        let key = Key::new(pod.key.namespace.clone(), pod.key.name.clone());
        let current = self.pods.get(&key)?;
        let same = current.metadata.uid.as_deref() == Some(&pod.uid);
        let waits = same && !changes::is_assigned(&current) && !changes::is_terminal(&current);
        waits.then(|| Arc::new(PodInfo::new(current)))
    }

    fn refuse(&mut self, pod: QueuedPod, rejection: Rejection) {
        match rejection.kind {
            crate::framework::RejectionKind::Error => self.retry(pod, rejection.message()),
            _ => self.park(pod, rejection.message(), [rejection.plugin].into(), None),
        }
    }

    fn park(
        &mut self,
        mut pod: QueuedPod,
        message: String,
        by: BTreeSet<&'static str>,
        preemption: Option<Preemption>,
    ) {
        tracing::debug!(object = %pod.info.key, attempts = pod.attempts, message, "no node fits");
        let nominated = preemption.as_ref().map(|preemption| preemption.node.clone());
        self.explain(&mut pod, Waits { reason: "Unschedulable", message, nominated });
        if let Some(preemption) = preemption {
            self.preempt(&pod.info, preemption);
        }
        self.queue.park(pod, by);
    }

    fn retry(&mut self, mut pod: QueuedPod, message: String) {
        tracing::warn!(object = %pod.info.key, attempts = pod.attempts, error = message, "pod not scheduled");
        self.explain(&mut pod, Waits { reason: "SchedulerError", message, nominated: None });
        self.queue.retry(pod);
    }

    /// Tells the pod's owner why it waits; the next write about the pod will wait for this one.
    fn explain(&self, pod: &mut QueuedPod, waits: Waits) {
        self.writer.tell_failure(&pod.info, &waits.message);
        let (writer, info, before) = (self.writer.clone(), pod.info.clone(), pod.last_write.take());
        pod.last_write = Some(self.tasks.spawn("explain", async move {
            wait_for(before).await;
            writer.explain(&info, &waits).await;
        }));
    }

    fn preempt(&mut self, preemptor: &Arc<PodInfo>, preemption: Preemption) {
        let Preemption { node, victims } = preemption;
        let outranked = self.nominator.below(preemptor.priority, &node);
        for pod in &outranked {
            self.nominator.remove(&pod.uid);
        }
        self.nominator.nominate(preemptor.clone(), &node);
        let (writer, preemptor) = (self.writer.clone(), preemptor.clone());
        self.tasks.spawn("preempt", async move {
            for pod in outranked {
                writer.clear_nomination(&pod).await;
            }
            for victim in victims.iter().filter(|victim| !victim.is_terminating()) {
                writer.evict(victim, &preemptor, &node).await;
            }
        });
    }
}

async fn wait_for(write: Option<tokio::task::JoinHandle<()>>) {
    if let Some(write) = write {
        // A panic in it was logged where it happened.
        let _ = write.await;
    }
}

fn reserve(framework: &Framework, pod: &PodInfo, node: &str) -> Verdict {
    framework.reserve.iter().try_for_each(|plugin| plugin.reserve(pod, node))?;
    framework.permit.iter().try_for_each(|plugin| plugin.permit(pod, node))
}

fn unreserve(framework: &Framework, pod: &PodInfo, node: &str) {
    framework.reserve.iter().rev().for_each(|plugin| plugin.unreserve(pod, node));
}
