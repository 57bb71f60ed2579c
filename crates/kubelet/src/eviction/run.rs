//! Looks, tells the conditions, frees what nobody needs, and evicts one pod at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::EventType;
use k8s_openapi::api::core::v1::Pod;
use stdx::error_chain;

use super::signals::{self, Signal};
use super::thresholds::{Crossed, pressure};
use super::usage::{self, Usage};
use super::{Pressure, local, rank};
use crate::context::Context;
use crate::images;
use crate::pod_manager::Workers;
use crate::pods::{self, Uid};
use crate::runtime::CriError;

/// Upstream's own interval. The kernel tells of pressure (PSI), but not that less than a fixed amount of memory, disk
/// or inodes is left, nor that a folder has grown.
const EVERY: Duration = Duration::from_secs(10);
/// A condition stays true for so long after its cause has gone: taints that come and go help nobody.
const TRANSITION: Duration = Duration::from_secs(300);

pub(crate) async fn run(context: Arc<Context>, workers: Workers) {
    let mut manager = Manager { context, workers, seen: HashMap::new() };
    loop {
        if let Err(error) = manager.once().await {
            tracing::warn!(error = error_chain(&error), "pressure not looked at");
        }
        manager.context.config.clock.sleep(EVERY).await;
    }
}

struct Manager {
    context: Arc<Context>,
    workers: Workers,
    /// When each condition was last seen, by its name.
    seen: HashMap<&'static str, Duration>,
}

impl Manager {
    async fn once(&mut self) -> Result<(), CriError> {
        let crossed = self.crossed();
        self.tell(pressure(&crossed));
        if self.keep_own_limits().await? {
            return Ok(());
        }
        let Some(worst) = crossed.first() else { return Ok(()) };
        let disk = matches!(worst.reading.signal, Signal::NodeFsAvailable | Signal::NodeFsInodesFree);
        if disk && images::gc::remove_unused(&self.context.cri).await? > 0 && self.crossed().is_empty() {
            return Ok(());
        }
        self.evict(*worst).await
    }

    fn crossed(&self) -> Vec<Crossed> {
        let config = &self.context.config;
        config.eviction.crossed(&signals::read(&config.root))
    }

    /// With what was true until a short while ago.
    fn tell(&mut self, now: Pressure) {
        let clock = self.context.config.clock.monotonic();
        for name in now.names() {
            self.seen.insert(name, clock);
        }
        let recent = |name: &str| self.seen.get(name).is_some_and(|at| clock - *at < TRANSITION);
        let told = Pressure {
            memory: recent("MemoryPressure"),
            disk: recent("DiskPressure"),
            pid: recent("PIDPressure"),
        };
        self.context.pressure.send_if_modified(|old| std::mem::replace(old, told) != told);
    }

    fn active(&self) -> Vec<Arc<Pod>> {
        let mut pods = self.workers.pods();
        pods.retain(|pod| !pods::is_finished(pod) && pods::deletion_requested(pod).is_none());
        pods
    }

    /// Whether somebody was evicted for a limit of its own.
    async fn keep_own_limits(&self) -> Result<bool, CriError> {
        let limited: Vec<Arc<Pod>> = self
            .active()
            .into_iter()
            .filter(|pod| local::has_limits(pod) && !rank::is_critical(pod))
            .collect();
        if limited.is_empty() {
            return Ok(false);
        }
        let mut evicted = false;
        for (pod, usage) in self.measured(limited).await? {
            if let Some(verdict) = local::check(&pod, &usage) {
                self.end(&pod, verdict);
                evicted = true;
            }
        }
        Ok(evicted)
    }

    /// With their folders, which takes a walk on the disk.
    async fn measured(&self, pods: Vec<Arc<Pod>>) -> Result<Vec<(Arc<Pod>, Usage)>, CriError> {
        let mut known: HashMap<Uid, Usage> = usage::of_containers(&self.context).await?;
        let config = self.context.config.clone();
        let measure = move || {
            let one = |pod: Arc<Pod>| {
                let mut usage = known.remove(pods::uid(&pod)).unwrap_or_default();
                usage::add_folders(&config, &pod, &mut usage);
                (pod, usage)
            };
            pods.into_iter().map(one).collect()
        };
        // A walk that panics has measured nothing; the next round tries again.
        Ok(tokio::task::spawn_blocking(measure).await.unwrap_or_default())
    }

    async fn evict(&self, crossed: Crossed) -> Result<(), CriError> {
        let resource = crossed.reading.signal.resource();
        tracing::warn!(resource, available = crossed.reading.available, "the node is short: evicting");
        let ranked = rank::rank(crossed.reading.signal, self.measured(self.active()).await?);
        if let Some((pod, usage)) = ranked.first() {
            self.end(pod, rank::verdict(&crossed, pod, usage));
        }
        Ok(())
    }

    fn end(&self, pod: &Pod, verdict: crate::pod::status::Verdict) {
        tracing::warn!(pod = %pods::described(pod), why = verdict.message, "evicted");
        self.context.pod_event(pod, EventType::Warning, "Evicted", verdict.message.clone());
        self.workers.evict(pods::uid(pod), verdict);
    }
}
