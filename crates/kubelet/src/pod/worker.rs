//! One pod's task: brings what runs to what shall run, and says how it is.
//!
//! Upstream: pkg/kubelet/pod_workers.go. Driven by events only: a change of the pod, of its containers, of a probe's
//! verdict, of an object that it names, or a time that the worker itself chose.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use stdx::{Backoff, Trigger, error_chain};
use tokio::sync::{mpsc, watch};

use super::allocation::Allocation;
use super::backoff::Backoffs;
use super::container_status::{Facts, WaitingReasons};
use super::resize::Resizing;
use super::status::{NodeFacts, Terminated, Verdict, pod_status};
use super::{kill, last_words};
use crate::context::Context;
use crate::pods;
use crate::probes::prober;
use crate::probes::results::Results;
use crate::runtime::{CriError, PodRuntime};
use crate::status_manager::Then;
use crate::volumes::set_up::Ready;
use crate::volumes::{pod_dir, tear_down};

/// Seconds that an evicted pod has; upstream's immediateEvictionGracePeriodSeconds.
const EVICTED: i64 = 1;

/// What wakes a worker.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The pod's object is new or changed.
    Pod(Arc<Pod>),
    /// The object is gone.
    Gone,
    /// Containers, probes or objects changed: look again.
    Look,
    /// Rejected by admission.
    Reject(Verdict),
    /// The node or the pod itself is over its limits: ends at once.
    Evict(Verdict),
}

/// Where a pod's life stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Shall run.
    Syncing,
    /// Is being stopped.
    Terminating,
    /// Nothing runs any more; the object is still there.
    Terminated,
    /// No trace is left.
    Gone,
}

/// What follows a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    GoOn,
    Wait,
}

pub(crate) struct Worker {
    pub(super) context: Arc<Context>,
    /// With what was granted in the place of what is asked for.
    pub(super) pod: Arc<Pod>,
    /// As it came.
    pub(super) desired: Arc<Pod>,
    pub(super) allocation: Option<Allocation>,
    pub(super) resizing: Resizing,
    events: mpsc::UnboundedReceiver<Event>,
    wake: mpsc::UnboundedSender<Event>,
    state: State,
    gone: bool,
    pub(super) verdict: Option<Verdict>,
    /// Seconds that are left to stop in, whatever the pod wished.
    most_grace: i64,
    pub(super) backoffs: Backoffs,
    pub(super) waiting: WaitingReasons,
    pub(super) probes: Results,
    pub(super) words: HashMap<String, String>,
    pub(super) volumes: Ready,
    pub(super) volumes_backoff: Backoff,
    retry: Backoff,
    runtime: watch::Sender<PodRuntime>,
    prober: Option<Trigger>,
    /// When to look again without being told.
    pub(super) next_look: Option<Timestamp>,
}

/// What the dispatcher keeps of a worker.
#[derive(Clone)]
pub(crate) struct Handle {
    pub events: mpsc::UnboundedSender<Event>,
    pub runtime: watch::Receiver<PodRuntime>,
}

impl Worker {
    pub fn new(context: Arc<Context>, pod: Arc<Pod>) -> (Self, Handle) {
        let (wake, events) = mpsc::unbounded_channel();
        let (runtime, seen) = watch::channel(PodRuntime::default());
        let handle = Handle { events: wake.clone(), runtime: seen };
        let mut worker = Self {
            context,
            pod: pod.clone(),
            desired: pod.clone(),
            allocation: None,
            resizing: Resizing::default(),
            events,
            wake,
            state: State::Syncing,
            gone: false,
            verdict: None,
            most_grace: i64::MAX,
            backoffs: Backoffs::default(),
            waiting: WaitingReasons::new(),
            probes: Results::default(),
            words: HashMap::new(),
            volumes: Ready::default(),
            volumes_backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(122)),
            retry: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
            runtime,
            prober: None,
            next_look: None,
        };
        worker.pod = worker.allocate(pod);
        (worker, handle)
    }

    /// Runs until the pod is gone without a trace, or the kubelet stops.
    pub async fn run(mut self) {
        let shutdown = self.context.shutdown.clone();
        tokio::select! {
            () = shutdown.wait() => {}
            () = self.live() => {}
        }
    }

    async fn live(&mut self) {
        while self.state != State::Gone {
            self.drain();
            self.decide();
            let after = match self.state {
                State::Syncing => self.sync_once().await,
                State::Terminating => self.terminate().await,
                State::Terminated => self.clean_up().await,
                State::Gone => Ok(After::GoOn),
            };
            match after {
                Ok(After::GoOn) => {}
                Ok(After::Wait) => self.wait().await,
                Err(error) => {
                    kill::log(&self.pod, "sync", &error);
                    let delay = self.retry.step();
                    self.look_in(delay);
                    self.wait().await;
                }
            }
        }
    }

    /// Takes in what has happened.
    fn drain(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Pod(pod) => {
                self.desired = pod.clone();
                let pod = self.with_newest_status(pod);
                self.pod = self.allocate(pod);
            }
            Event::Gone => self.gone = true,
            Event::Look => self.reconsider(),
            Event::Reject(verdict) => self.verdict = Some(verdict),
            Event::Evict(verdict) => {
                self.verdict.get_or_insert(verdict);
                self.most_grace = EVICTED;
            }
        }
    }

    /// The object as the API has it may be older than what this worker last said about it.
    fn with_newest_status(&self, pod: Arc<Pod>) -> Arc<Pod> {
        self.context.statuses.observed(&pod);
        let Some(newest) = self.context.statuses.get(pods::uid(&pod)) else { return pod };
        let mut pod = (*pod).clone();
        let foreign: Vec<_> =
            pod.status.iter().flat_map(|s| s.conditions.clone().unwrap_or_default()).collect();
        let mut status = newest;
        let own = super::conditions::OWNED;
        let mut conditions = status.conditions.take().unwrap_or_default();
        conditions.retain(|c| own.contains(&c.type_.as_str()));
        conditions.extend(foreign.into_iter().filter(|c| !own.contains(&c.type_.as_str())));
        status.conditions = Some(conditions);
        pod.status = Some(status);
        Arc::new(pod)
    }

    fn shall_vanish(&self) -> bool {
        self.gone || pods::deletion_requested(&self.pod).is_some()
    }

    fn decide(&mut self) {
        let over =
            self.shall_vanish() || pods::is_finished(&self.pod) || self.verdict.is_some() || self.is_late();
        if self.state == State::Syncing && over {
            self.state = State::Terminating;
        }
    }

    /// activeDeadlineSeconds.
    fn is_late(&mut self) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        if self.context.config.clock.now() < deadline {
            return false;
        }
        let message = "Pod was active on the node longer than the specified deadline";
        self.verdict = Some(Verdict { reason: "DeadlineExceeded".into(), message: message.into() });
        self.context.pod_event(&self.pod, EventType::Normal, "DeadlineExceeded", message);
        true
    }

    fn deadline(&self) -> Option<Timestamp> {
        let seconds = pods::spec(&self.pod).active_deadline_seconds?;
        let started = self.pod.status.as_ref()?.start_time.as_ref()?.0;
        Some(started + jiff::SignedDuration::from_secs(seconds))
    }

    /// One round; interrupted as soon as the pod shall end, so that a long pull delays no deletion.
    async fn sync_once(&mut self) -> Result<After, CriError> {
        self.next_look = self.deadline();
        self.start_prober();
        let (sender, mut ours) = mpsc::unbounded_channel();
        std::mem::swap(&mut ours, &mut self.events);
        let mut theirs = ours;
        let result = {
            let round = self.sync();
            tokio::pin!(round);
            loop {
                tokio::select! {
                    biased;
                    result = &mut round => break Some(result),
                    event = theirs.recv() => {
                        let Some(event) = event else { break None };
                        let ends = ends(&event);
                        // The channel lives as long as this function: cannot fail.
                        let _ = sender.send(event);
                        if ends {
                            break None;
                        }
                    }
                }
            }
        };
        std::mem::swap(&mut theirs, &mut self.events);
        let mut news = self.state != State::Syncing;
        while let Ok(event) = theirs.try_recv() {
            news = true;
            self.take(event);
        }
        if let Some(result) = result {
            result?;
            self.retry.reset();
        }
        Ok(if news { After::GoOn } else { After::Wait })
    }

    fn start_prober(&mut self) {
        if self.prober.is_some() || !prober::has_any(&self.pod) {
            return;
        }
        let (trigger, shutdown) = self.context.shutdown.child();
        let wake = self.wake.clone();
        let changed = move || {
            // A worker that is gone needs no verdicts.
            let _ = wake.send(Event::Look);
        };
        let probing = prober::run(
            self.context.clone(),
            self.pod.clone(),
            self.runtime.subscribe(),
            self.probes.clone(),
            changed,
        );
        self.context.tasks.spawn("probes", async move {
            tokio::select! {
                () = shutdown.wait() => {}
                () = probing => {}
            }
        });
        self.prober = Some(trigger);
    }

    async fn wait(&mut self) {
        let clock = self.context.config.clock.clone();
        let left =
            self.next_look.map(|at| Duration::try_from(at.duration_since(clock.now())).unwrap_or_default());
        let timer = async {
            match left {
                Some(left) => clock.sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = self.events.recv() => event,
            () = timer => Some(Event::Look),
        };
        if let Some(event) = event {
            self.take(event);
        }
        self.next_look = None;
    }

    /// Looks again after `delay` at the latest.
    pub(super) fn look_in(&mut self, delay: Duration) {
        let at = self.context.config.clock.now() + delay;
        self.next_look = Some(self.next_look.map_or(at, |old| old.min(at)));
    }

    pub(super) fn look_at(&mut self, at: Timestamp) {
        self.next_look = Some(self.next_look.map_or(at, |old| old.min(at)));
    }

    /// What the runtime has, told to the probes too.
    pub(super) async fn observe(&mut self) -> Result<PodRuntime, CriError> {
        let runtime = self.context.cri.pod(pods::uid(&self.pod)).await?;
        for record in runtime.running() {
            self.context.log_growth.watch(std::path::Path::new(&record.log_path));
        }
        last_words::of(&runtime, &mut self.words);
        self.runtime.send_replace(runtime.clone());
        Ok(runtime)
    }

    /// Computes the status and hands it to the status manager.
    pub(super) fn publish(&mut self, runtime: &PodRuntime, terminated: Terminated, then: Then) {
        let facts = Facts {
            pod: &self.pod,
            runtime,
            probes: &self.probes,
            waiting: &self.waiting,
            runtime_name: self.context.runtime_name(),
            messages: &self.words,
        };
        let node = NodeFacts {
            host_ips: &self.context.host_ips(),
            now: self.context.config.clock.now(),
            verdict: self.verdict.as_ref(),
            resizing: &self.resizing,
            terminated,
        };
        let status = pod_status(&facts, &node);
        let mut pod = (*self.pod).clone();
        // The write compares with what the API has; the worker goes on from what it says now.
        let before = self.pod.clone();
        pod.status = Some(status.clone());
        self.pod = Arc::new(pod);
        if !self.gone {
            self.context.statuses.set(&before, status, then);
        }
    }

    pub(super) fn end(&mut self) {
        self.state = State::Terminating;
    }

    /// Stops everything; a shorter grace that arrives meanwhile counts.
    async fn terminate(&mut self) -> Result<After, CriError> {
        self.next_look = None;
        self.prober = None;
        let runtime = self.observe().await?;
        self.publish(&runtime, Terminated::No, Then::Keep);
        self.stop_containers(&runtime).await?;
        for sandbox in &runtime.sandboxes {
            self.context.cri.stop_sandbox(&sandbox.id).await?;
        }
        let runtime = self.observe().await?;
        self.publish(&runtime, Terminated::Yes, Then::Keep);
        if !self.unmount() {
            return Ok(After::Wait);
        }
        self.context.volumes.release(pods::uid(&self.pod));
        self.context.budget.release(pods::uid(&self.pod));
        self.state = State::Terminated;
        Ok(After::GoOn)
    }

    async fn stop_containers(&mut self, runtime: &PodRuntime) -> Result<(), CriError> {
        let mut pre_stop = kill::PreStop::Run;
        loop {
            let (context, pod) = (self.context.clone(), self.pod.clone());
            let seconds = pods::grace_seconds(&pod).min(self.most_grace);
            let grace = Duration::from_secs(u64::try_from(seconds).unwrap_or(30));
            let stopping = kill::all(&context, &pod, runtime, grace, pre_stop);
            tokio::pin!(stopping);
            loop {
                tokio::select! {
                    result = &mut stopping => return result,
                    event = self.events.recv() => {
                        let Some(event) = event else { return Ok(()) };
                        self.take(event);
                        if pods::grace_seconds(&self.pod).min(self.most_grace) < seconds {
                            break;
                        }
                    }
                }
            }
            pre_stop = kill::PreStop::Done;
        }
    }

    /// False if a mount would not go: tried again later.
    fn unmount(&mut self) -> bool {
        let folder = pod_dir(&self.context.config.root, pods::uid(&self.pod));
        match tear_down::unmount_all(&folder) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(pod = %pods::described(&self.pod), error = error_chain(&error), "volumes not unmounted");
                let delay = self.retry.step();
                self.look_in(delay);
                false
            }
        }
    }

    /// Once the object may go: containers, sandbox, folder and logs, then the object itself.
    async fn clean_up(&mut self) -> Result<After, CriError> {
        if !self.shall_vanish() {
            return Ok(After::Wait);
        }
        let runtime = self.observe().await?;
        kill::remove(&self.context, &runtime).await?;
        let folder = pod_dir(&self.context.config.root, pods::uid(&self.pod));
        let logs = super::sandbox_config::log_directory(&self.context.config, &self.pod);
        for (what, result) in [("pod", tear_down::remove(&folder)), ("logs", tear_down::remove(&logs))] {
            if let Err(error) = result {
                tracing::warn!(pod = %pods::described(&self.pod), what, error = error_chain(&error), "folder not removed");
            }
        }
        self.publish(&runtime, Terminated::Yes, Then::Delete);
        self.state = State::Gone;
        Ok(After::GoOn)
    }
}

/// Whether an event may end a round that is under way.
fn ends(event: &Event) -> bool {
    match event {
        Event::Pod(pod) => pods::deletion_requested(pod).is_some(),
        Event::Gone | Event::Reject(_) | Event::Evict(_) => true,
        Event::Look => false,
    }
}
