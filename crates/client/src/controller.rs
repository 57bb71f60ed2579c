//! Runs a reconciler: changes become keys, keys become reconciliations.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use stdx::{Shutdown, error_chain};
use tracing::Instrument;

use crate::store::{Change, Object, Store};
use crate::{Hub, Key, Queue};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// When a key wants to be looked at again. A change of what the controller watches always does that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    AwaitChange,
    After(Duration),
}

/// Brings one object closer to what it asks for. Must be idempotent.
#[async_trait]
pub trait Reconcile: Send + Sync + 'static {
    /// An error is logged, and the key tried again with back-off.
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError>;
}

/// A named reconciler with what it watches.
pub struct Controller {
    name: &'static str,
    hub: Hub,
    queue: Queue<Key>,
    shutdown: Shutdown,
    workers: usize,
}

impl Controller {
    pub fn new(name: &'static str, hub: &Hub) -> Self {
        Self {
            name,
            hub: hub.clone(),
            queue: Queue::new(hub.clock().clone()),
            shutdown: hub.shutdown().clone(),
            workers: 5,
        }
    }

    /// How many keys are worked on at once (5).
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Stops with `shutdown` rather than with the hub's: for work that only a leader does.
    pub fn until(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// The queue, for a reconciler that gives itself keys.
    pub fn queue(&self) -> Queue<Key> {
        self.queue.clone()
    }

    /// Reconciles every object of `store` that changes.
    pub fn reconciles<K: Object>(self, store: &Store<K>) -> Self {
        self.watches(store, |change| vec![Key::of(&**change.object())])
    }

    /// Reconciles the keys that `keys_of` makes of each change.
    pub fn watches<K: Object>(
        self,
        store: &Store<K>,
        keys_of: impl Fn(&Change<K>) -> Vec<Key> + Send + 'static,
    ) -> Self {
        let (mut changes, queue, shutdown) = (store.subscribe(), self.queue.clone(), self.shutdown.clone());
        self.hub.tasks().spawn(self.name, async move {
            loop {
                tokio::select! {
                    () = shutdown.wait() => return,
                    change = changes.recv() => {
                        let Some(change) = change else { return };
                        keys_of(&change).into_iter().for_each(|key| queue.add(key));
                    }
                }
            }
        });
        self
    }

    /// Starts the workers; they end with the shutdown. Wait for the stores to be synced before.
    pub fn run(self, reconciler: Arc<dyn Reconcile>) {
        for _ in 0..self.workers {
            let worker = Worker {
                name: self.name,
                queue: self.queue.clone(),
                shutdown: self.shutdown.clone(),
                reconciler: reconciler.clone(),
            };
            self.hub.tasks().spawn(self.name, worker.run());
        }
    }
}

struct Worker {
    name: &'static str,
    queue: Queue<Key>,
    shutdown: Shutdown,
    reconciler: Arc<dyn Reconcile>,
}

impl Worker {
    async fn run(self) {
        loop {
            tokio::select! {
                () = self.shutdown.wait() => return,
                key = self.queue.next() => self.work(key).await,
            }
        }
    }

    async fn work(&self, key: Key) {
        let span = tracing::debug_span!("reconcile", controller = self.name, object = %key);
        // A panic in one object's reconciliation must not take its worker along.
        let work = std::panic::AssertUnwindSafe(self.reconciler.reconcile(&key)).catch_unwind();
        match work.instrument(span).await {
            Ok(Ok(next)) => {
                self.queue.forget(&key);
                if let Next::After(delay) = next {
                    self.queue.add_after(key.clone(), delay);
                }
            }
            Ok(Err(error)) => {
                let failures = self.queue.failures(&key);
                tracing::debug!(controller = self.name, object = %key, failures, error = error_chain(&*error), "reconcile failed");
                self.queue.add_failed(key.clone());
            }
            Err(_) => {
                tracing::error!(controller = self.name, object = %key, "reconcile panicked");
                self.queue.add_failed(key.clone());
            }
        }
        self.queue.done(&key);
    }
}
