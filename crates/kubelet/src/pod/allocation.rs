//! The resources that this node has granted a pod: what it began with, then every resize that fitted.
//!
//! Upstream: pkg/kubelet/allocation. A grant is a file beside the pod's volumes, so that it outlives the kubelet.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::admission::total;
use crate::objects::Notify;
use crate::pods::{self, Uid};

/// Resources by container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Allocation(BTreeMap<String, ResourceRequirements>);

impl Allocation {
    /// What the pod asks for now.
    pub fn wanted(pod: &Pod) -> Self {
        let init = pods::init_containers(pod).iter().filter(|c| pods::is_sidecar(c));
        let all = init.chain(pods::containers(pod));
        Self(all.map(|c| (c.name.clone(), c.resources.clone().unwrap_or_default())).collect())
    }

    /// The pod with what was granted in the place of what is asked for.
    pub fn applied(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        if *self == Self::wanted(pod) {
            return pod.clone();
        }
        let mut pod = (**pod).clone();
        if let Some(spec) = &mut pod.spec {
            self.apply(&mut spec.containers);
            self.apply(spec.init_containers.get_or_insert_default());
        }
        Arc::new(pod)
    }

    fn apply(&self, containers: &mut [Container]) {
        for container in containers {
            if let Some(resources) = self.0.get(&container.name) {
                container.resources = Some(resources.clone());
            }
        }
    }

    /// `None` if nothing was granted yet.
    pub fn load(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(file(folder)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn save(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let fresh = folder.join(".allocated.json");
        fs::write(&fresh, serde_json::to_vec(self)?)?;
        fs::rename(fresh, file(folder))
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("allocated.json")
}

/// Why a resize has to wait, in upstream's words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pending {
    pub reason: &'static str,
    pub message: String,
}

/// What the node has for pods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub cpu_milli: i128,
    pub memory_bytes: i128,
}

/// What is granted to all pods of the node; shared by their workers.
#[derive(Clone)]
pub(crate) struct Budget {
    granted: Arc<Mutex<HashMap<Uid, Granted>>>,
    /// Told when somebody who waits may look again.
    notify: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Granted {
    cpu_milli: i128,
    memory_bytes: i128,
    waits: Waits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Waits {
    #[default]
    No,
    Yes,
}

impl Granted {
    fn of(pod: &Pod) -> Self {
        let (cpu_milli, memory_bytes) = (total(pod, "cpu"), total(pod, "memory") / 1000);
        Self { cpu_milli, memory_bytes, waits: Waits::No }
    }
}

impl Budget {
    pub fn new(notify: Notify) -> Self {
        Self { granted: Arc::default(), notify }
    }

    /// Counts a pod as it is: admission has decided already.
    pub fn count(&self, pod: &Pod) {
        self.put(pods::uid(pod), Granted::of(pod));
    }

    /// Grants what `pod` asks for now if it fits beside the others.
    pub fn resize(&self, pod: &Pod, room: Room) -> Result<(), Pending> {
        let wanted = Granted::of(pod);
        let result = self.check(pods::uid(pod), wanted, room);
        match &result {
            Ok(()) => self.put(pods::uid(pod), wanted),
            Err(_) => {
                if let Some(granted) = self.granted.lock().get_mut(pods::uid(pod)) {
                    granted.waits = Waits::Yes;
                }
            }
        }
        result
    }

    fn check(&self, uid: &str, wanted: Granted, room: Room) -> Result<(), Pending> {
        for (name, requested, capacity) in
            [("memory", wanted.memory_bytes, room.memory_bytes), ("cpu", wanted.cpu_milli, room.cpu_milli)]
        {
            if requested > capacity {
                let message = format!(
                    "Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}"
                );
                return Err(Pending { reason: "Infeasible", message });
            }
        }
        let used = self.used_by_others(uid);
        for (name, requested, used, capacity) in [
            ("cpu", wanted.cpu_milli, used.cpu_milli, room.cpu_milli),
            ("memory", wanted.memory_bytes, used.memory_bytes, room.memory_bytes),
        ] {
            if requested + used > capacity {
                let message = format!(
                    "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
                );
                return Err(Pending { reason: "Deferred", message });
            }
        }
        Ok(())
    }

    fn used_by_others(&self, uid: &str) -> Granted {
        let granted = self.granted.lock();
        let others = granted.iter().filter(|(other, _)| *other != uid).map(|(_, granted)| granted);
        others.fold(Granted::default(), |sum, one| Granted {
            cpu_milli: sum.cpu_milli + one.cpu_milli,
            memory_bytes: sum.memory_bytes + one.memory_bytes,
            waits: Waits::No,
        })
    }

    fn put(&self, uid: &str, granted: Granted) {
        let before = self.granted.lock().insert(uid.to_owned(), granted);
        let less =
            |old: Granted| old.cpu_milli > granted.cpu_milli || old.memory_bytes > granted.memory_bytes;
        if before.is_some_and(less) {
            self.wake();
        }
    }

    /// The pod holds nothing any more.
    pub fn release(&self, uid: &str) {
        if self.granted.lock().remove(uid).is_some() {
            self.wake();
        }
    }

    fn wake(&self) {
        let waiting: Vec<Uid> = {
            let granted = self.granted.lock();
            granted.iter().filter(|(_, g)| g.waits == Waits::Yes).map(|(uid, _)| uid.clone()).collect()
        };
        for uid in waiting {
            (self.notify)(&uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, cpu: &str) -> Pod {
        let container = json!({"name": "c", "resources": {"requests": {"cpu": cpu}}});
        crate::testing::pod(json!({"metadata": {"uid": uid}, "spec": {"containers": [container]}}))
    }

    #[test]
    fn grants_what_fits_and_wakes_those_who_wait() {
        let woken = Arc::new(Mutex::new(Vec::new()));
        let log = woken.clone();
        let budget = Budget::new(Arc::new(move |uid| log.lock().push(uid.clone())));
        let room = Room { cpu_milli: 1000, memory_bytes: 0 };
        budget.count(&pod("a", "300m"));
        budget.count(&pod("b", "400m"));
        assert_eq!(budget.resize(&pod("a", "600m"), room), Ok(()));
        let pending = |cpu: &str| budget.resize(&pod("b", cpu), room).expect_err("too much");
        assert_eq!(pending("1500m").reason, "Infeasible");
        assert_eq!(
            pending("500m").message,
            "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000"
        );
        budget.release("a");
        assert_eq!(*woken.lock(), ["b"]);
        assert_eq!(budget.resize(&pod("b", "500m"), room), Ok(()));
    }

    #[test]
    fn a_grant_outlives_its_kubelet() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("u");
        assert_eq!(Allocation::load(&folder).expect("readable"), None);
        let granted = Allocation::wanted(&pod("u", "100m"));
        granted.save(&folder).expect("saved");
        assert_eq!(Allocation::load(&folder).expect("readable"), Some(granted.clone()));
        let shown = granted.applied(&Arc::new(pod("u", "2")));
        assert_eq!(Allocation::wanted(&shown), granted);
    }
}
