//! The runtime of one node: its folders, what it knows, and who is told when that changes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cri::v1;
use linux::cgroup::{Cgroup, Hierarchies};
use network::PodNetwork;
use parking_lot::Mutex;
use stdx::{Clock, Random, Shutdown, Tasks};
use tokio::sync::{broadcast, watch};

use crate::error::Error;
use crate::images::Images;
use crate::link::Link;
use crate::record::{self, Container, Sandbox};

/// What a runtime is made from.
#[derive(Clone)]
pub struct Config {
    /// Folder of sandboxes and containers; made where it is missing.
    pub root: PathBuf,
    /// The CRI socket; made with mode 0600, an old one is replaced.
    pub socket: PathBuf,
    /// Parent of pods whose configuration names none, as `/dromon`.
    pub cgroup_parent: String,
    /// Program and first arguments of a shim; the sandbox's folder is appended.
    pub shim: Vec<OsString>,
    pub images: Arc<dyn Images>,
    pub network: Arc<dyn PodNetwork>,
    pub clock: Clock,
    pub random: Random,
}

/// The runtime; clones share it.
#[derive(Clone)]
pub(crate) struct Node(Arc<Inner>);

pub(crate) struct Inner {
    pub config: Config,
    pub hierarchies: Arc<Hierarchies>,
    pub tasks: Tasks,
    pub shutdown: Shutdown,
    known: Mutex<Known>,
    events: broadcast::Sender<v1::ContainerEventResponse>,
    /// Moves with every change of a state.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    sandboxes: BTreeMap<String, Sandbox>,
    containers: BTreeMap<String, Container>,
}

/// A slow reader of events misses the oldest beyond this many, and lists anew.
const EVENTS_KEPT: usize = 1024;

impl std::ops::Deref for Node {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Node {
    pub(crate) fn new(config: Config, hierarchies: Hierarchies, tasks: Tasks, shutdown: Shutdown) -> Self {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Self(Arc::new(Inner {
            config,
            hierarchies: Arc::new(hierarchies),
            tasks,
            shutdown,
            known: Mutex::default(),
            events,
            changes: watch::Sender::new(0),
        }))
    }

    /// Nanoseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.config.clock.now().as_nanosecond()).unwrap_or(i64::MAX)
    }

    pub(crate) fn sandbox_folder(&self, id: &str) -> PathBuf {
        self.config.root.join("sandboxes").join(id)
    }

    pub(crate) fn container_folder(&self, id: &str) -> PathBuf {
        self.config.root.join("containers").join(id)
    }

    pub(crate) fn link(&self, sandbox: &str) -> Link {
        Link::new(&self.sandbox_folder(sandbox))
    }

    pub(crate) fn cgroup(&self, path: &str) -> Cgroup {
        Cgroup::new(self.hierarchies.clone(), path)
    }

    /// 64 hexadecimal digits.
    pub(crate) fn new_id(&self) -> String {
        let mut bytes = [0u8; 32];
        self.config.random.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The sandbox with this id or, as clients may shorten ids, the only one that starts with it.
    pub(crate) fn sandbox(&self, id: &str) -> Result<Sandbox, Error> {
        find(&self.known.lock().sandboxes, id)
            .ok_or_else(|| Error::NotFound { kind: "sandbox", id: id.to_owned() })
    }

    pub(crate) fn container(&self, id: &str) -> Result<Container, Error> {
        find(&self.known.lock().containers, id)
            .ok_or_else(|| Error::NotFound { kind: "container", id: id.to_owned() })
    }

    pub(crate) fn sandboxes(&self) -> Vec<Sandbox> {
        self.known.lock().sandboxes.values().cloned().collect()
    }

    pub(crate) fn containers(&self) -> Vec<Container> {
        self.known.lock().containers.values().cloned().collect()
    }

    pub(crate) fn containers_of(&self, sandbox: &str) -> Vec<Container> {
        self.known.lock().containers.values().filter(|c| c.sandbox_id == sandbox).cloned().collect()
    }

    pub(crate) fn put_sandbox(&self, sandbox: Sandbox) {
        self.known.lock().sandboxes.insert(sandbox.id.clone(), sandbox);
        self.changed();
    }

    pub(crate) fn put_container(&self, container: Container) {
        self.known.lock().containers.insert(container.id.clone(), container);
        self.changed();
    }

    pub(crate) fn drop_sandbox(&self, id: &str) -> Option<Sandbox> {
        self.known.lock().sandboxes.remove(id)
    }

    pub(crate) fn drop_container(&self, id: &str) -> Option<Container> {
        self.known.lock().containers.remove(id)
    }

    /// Changes a sandbox in place; nothing when it is gone.
    pub(crate) fn update_sandbox(&self, id: &str, change: impl FnOnce(&mut Sandbox)) {
        if let Some(sandbox) = self.known.lock().sandboxes.get_mut(id) {
            change(sandbox);
        }
        self.changed();
    }

    pub(crate) fn update_container(&self, id: &str, change: impl FnOnce(&mut Container)) {
        if let Some(container) = self.known.lock().containers.get_mut(id) {
            change(container);
        }
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Returns once `done` holds; it is asked again after every change.
    pub(crate) async fn until(&self, done: impl Fn() -> bool) {
        let mut changes = self.changes.subscribe();
        while !done() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn save_sandbox(&self, sandbox: &Sandbox) -> Result<(), Error> {
        save(&self.sandbox_folder(&sandbox.id), sandbox)
    }

    pub(crate) fn save_container(&self, container: &Container) -> Result<(), Error> {
        save(&self.container_folder(&container.id), container)
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<v1::ContainerEventResponse> {
        self.events.subscribe()
    }

    /// Tells whoever listens what happened to `id`, a container of `sandbox` or the sandbox itself.
    pub(crate) fn tell(&self, kind: v1::ContainerEventType, sandbox: &Sandbox, id: &str) {
        let event = v1::ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind as i32,
            created_at: self.now(),
            pod_sandbox_status: Some(crate::view::sandbox_status(sandbox)),
            containers_statuses: self
                .containers_of(&sandbox.id)
                .iter()
                .map(crate::view::container_status)
                .collect(),
        };
        // Nobody listening is no error.
        let _ = self.events.send(event);
    }
}

fn find<T: Clone>(all: &BTreeMap<String, T>, id: &str) -> Option<T> {
    if id.is_empty() {
        return None;
    }
    let mut matches = all.range(id.to_owned()..).take_while(|(full, _)| full.starts_with(id));
    match (matches.next(), matches.next()) {
        (Some((full, found)), next) if full == id || next.is_none() => Some(found.clone()),
        _ => None,
    }
}

fn save<T: serde::Serialize>(folder: &Path, what: &T) -> Result<(), Error> {
    record::save(folder, what).map_err(Error::io(format!("cannot write the record in {folder:?}")))
}
