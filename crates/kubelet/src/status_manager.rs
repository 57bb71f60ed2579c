//! Brings pod statuses to the API server: only what changed, the newest, in order, one write a pod at a time.
//!
//! Upstream: pkg/kubelet/status/status_manager.go. Differs: pods do not wait for each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use stdx::{Backoff, Clock, Shutdown, Tasks, error_chain};

use crate::pod::conditions::OWNED;
use crate::pods::{self, Uid};

#[derive(Clone)]
pub(crate) struct Statuses(Arc<Inner>);

struct Inner {
    client: Client,
    clock: Clock,
    tasks: Tasks,
    shutdown: Shutdown,
    entries: Mutex<HashMap<Uid, Entry>>,
}

#[derive(Default)]
struct Entry {
    /// What the API has, as far as known.
    written: Option<PodStatus>,
    /// The resourceVersion that the last write came to.
    version: u64,
    next: Option<Wanted>,
    writing: bool,
    /// For a static pod: whose status is written in its place, once it is there.
    mirror: Option<Uid>,
    /// For a static pod: what a new mirror is told.
    pod: Option<Arc<Pod>>,
}

impl Entry {
    /// The UID that a write is for; `None` while a static pod has no mirror.
    fn target(&self) -> Option<Uid> {
        match &self.pod {
            Some(_) => self.mirror.clone(),
            None => self.next.as_ref().map(|wanted| pods::uid(&wanted.pod).to_owned()),
        }
    }
}

/// One write on its way.
struct Write {
    wanted: Wanted,
    base: Option<PodStatus>,
    target: Uid,
}

struct Wanted {
    pod: Arc<Pod>,
    status: PodStatus,
    then: Then,
}

/// What follows a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    /// All of the pod is gone from this node: its object goes too.
    Delete,
}

impl Statuses {
    pub fn new(client: Client, clock: Clock, tasks: Tasks, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner { client, clock, tasks, shutdown, entries: Mutex::default() }))
    }

    /// Hands over a status; returns at once.
    pub fn set(&self, pod: &Arc<Pod>, status: PodStatus, then: Then) {
        let uid = pods::uid(pod).to_owned();
        let mut entries = self.0.entries.lock();
        // The first status is compared with the object as it came from the API.
        let entry = entries
            .entry(uid.clone())
            .or_insert_with(|| Entry { written: pod.status.clone(), ..Entry::default() });
        let known = entry.next.as_ref().map(|n| &n.status).or(entry.written.as_ref());
        if then == Then::Keep && known == Some(&status) {
            return;
        }
        // A deletion once asked for stays asked for.
        let then =
            entry.next.as_ref().map_or(then, |n| if n.then == Then::Delete { Then::Delete } else { then });
        entry.next = Some(Wanted { pod: pod.clone(), status, then });
        if pods::is_static(pod) {
            entry.pod = Some(pod.clone());
        }
        self.start(uid, entry);
    }

    fn start(&self, uid: Uid, entry: &mut Entry) {
        if entry.target().is_some() && !std::mem::replace(&mut entry.writing, true) {
            let writer = self.clone();
            self.0.tasks.spawn("pod status", async move { writer.write_until_done(uid).await });
        }
    }

    /// A static pod's mirror is there, is another one, or is gone. A new one is told everything.
    pub fn mirrored(&self, uid: &str, mirror: Option<&Pod>) {
        let mut entries = self.0.entries.lock();
        let entry = entries.entry(uid.to_owned()).or_default();
        let target = mirror.map(|mirror| pods::uid(mirror).to_owned());
        if entry.mirror == target {
            return;
        }
        entry.mirror = target;
        let Some(mirror) = mirror else { return };
        let last = std::mem::replace(&mut entry.written, mirror.status.clone());
        if let (None, Some(pod), Some(status)) = (&entry.next, &entry.pod, last) {
            entry.next = Some(Wanted { pod: pod.clone(), status, then: Then::Keep });
        }
        if entry.next.is_some() {
            self.start(uid.to_owned(), entry);
        }
    }

    /// The API has this; if it is newer than the last write, somebody else changed the status.
    pub fn observed(&self, pod: &Pod) {
        let mut entries = self.0.entries.lock();
        let Some(entry) = entries.get_mut(pods::uid(pod)) else { return };
        if !entry.writing && version(pod) > entry.version {
            entry.written.clone_from(&pod.status);
            entry.version = version(pod);
        }
    }

    /// The newest status of a pod, written or not.
    pub fn get(&self, uid: &str) -> Option<PodStatus> {
        let entries = self.0.entries.lock();
        let entry = entries.get(uid)?;
        entry.next.as_ref().map(|n| n.status.clone()).or_else(|| entry.written.clone())
    }

    /// The pod is gone from the API.
    pub fn forget(&self, uid: &str) {
        self.0.entries.lock().remove(uid);
    }

    async fn write_until_done(&self, uid: Uid) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        while let Some(write) = self.take(&uid) {
            tokio::select! {
                () = self.0.shutdown.wait() => return,
                result = self.write(&write) => match result {
                    Ok(version) => {
                        backoff.reset();
                        self.remember(&uid, write, version);
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(pod = %pods::described(&write.wanted.pod), error = error_chain(&error), "pod status not written");
                        self.put_back(&uid, write.wanted);
                    }
                }
            }
            tokio::select! {
                () = self.0.shutdown.wait() => return,
                () = self.0.clock.sleep(backoff.step()) => {}
            }
        }
    }

    fn take(&self, uid: &Uid) -> Option<Write> {
        let mut entries = self.0.entries.lock();
        let entry = entries.get_mut(uid)?;
        let target = entry.target();
        let wanted = if target.is_some() { entry.next.take() } else { None };
        entry.writing = wanted.is_some();
        Some(Write { wanted: wanted?, base: entry.written.clone(), target: target? })
    }

    fn remember(&self, uid: &Uid, write: Write, version: Option<u64>) {
        if let Some(entry) = self.0.entries.lock().get_mut(uid) {
            if entry.pod.is_some() && entry.mirror.as_ref() != Some(&write.target) {
                // Meanwhile another mirror came: it does not know this yet.
                entry.next.get_or_insert(write.wanted);
                return;
            }
            entry.version = version.unwrap_or(entry.version);
            entry.written = Some(write.wanted.status);
        }
    }

    /// For another try, unless something newer came meanwhile.
    fn put_back(&self, uid: &Uid, wanted: Wanted) {
        if let Some(entry) = self.0.entries.lock().get_mut(uid) {
            match &mut entry.next {
                Some(newer) if wanted.then == Then::Delete => newer.then = Then::Delete,
                Some(_) => {}
                next @ None => *next = Some(wanted),
            }
        }
    }

    /// The resourceVersion that the pod has now, if it was written.
    async fn write(&self, write: &Write) -> kube::Result<Option<u64>> {
        let Write { wanted, base, target } = write;
        let api: Api<Pod> = Api::namespaced(self.0.client.clone(), pods::namespace(&wanted.pod));
        let name = pods::name(&wanted.pod);
        let mut seen = None;
        if let Some(status) = patch(&base.clone().unwrap_or_default(), &wanted.status) {
            let body = json!({"metadata": {"uid": target}, "status": status});
            match there(api.patch_status(name, &PatchParams::default(), &Patch::Strategic(body)).await)? {
                Some(pod) => seen = Some(version(&pod)),
                None => return Ok(None),
            }
        }
        if wanted.then == Then::Delete {
            let only_this = Preconditions { uid: Some(target.clone()), resource_version: None };
            let how = DeleteParams::default().grace_period(0).preconditions(only_this);
            there(api.delete(name, &how).await)?;
        }
        Ok(seen)
    }
}

/// `None` if the pod is gone or another pod has its name: nothing left to say.
fn there<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if client::is_not_found(&error) || client::is_conflict(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Zero if there is none: older than everything.
fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// The strategic merge patch from `base` to `wanted`; `None` if they are equal. Conditions of others are left alone.
fn patch(base: &PodStatus, wanted: &PodStatus) -> Option<Value> {
    let (base, wanted) = (object(base), object(wanted));
    let mut out = Map::new();
    for (key, value) in &wanted {
        if base.get(key) == Some(value) {
            continue;
        }
        let value = match key.as_str() {
            "conditions" => changed_conditions(base.get(key), value)?.into(),
            "podIPs" | "hostIPs" => replaced(base.get(key), value),
            _ => value.clone(),
        };
        if value != Value::Array(Vec::new()) {
            out.insert(key.clone(), value);
        }
    }
    for key in base.keys().filter(|key| !wanted.contains_key(*key) && OURS.contains(&key.as_str())) {
        out.insert(key.clone(), Value::Null);
    }
    (!out.is_empty()).then_some(Value::Object(out))
}

/// Fields that may be taken away again.
const OURS: [&str; 8] = [
    "reason",
    "message",
    "podIP",
    "podIPs",
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
    "observedGeneration",
];

fn object(status: &PodStatus) -> Map<String, Value> {
    match json!(status) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn changed_conditions(base: Option<&Value>, wanted: &Value) -> Option<Vec<Value>> {
    let base = base.and_then(Value::as_array).cloned().unwrap_or_default();
    let ours = |c: &&Value| {
        c["type"].as_str().is_some_and(|kind| OWNED.contains(&kind)) || c["reason"] == "TerminationByKubelet"
    };
    let mut changed = Vec::new();
    for condition in wanted.as_array()?.iter().filter(ours) {
        let old = base.iter().find(|c| c["type"] == condition["type"]);
        if old == Some(condition) {
            continue;
        }
        let mut condition = condition.clone();
        // What the old one says and the new one does not has to be taken away by name.
        for key in ["reason", "message"] {
            if old.is_some_and(|old| old.get(key).is_some()) && condition.get(key).is_none() {
                condition[key] = Value::Null;
            }
        }
        changed.push(condition);
    }
    let wanted = wanted.as_array()?;
    let gone = base.iter().filter(ours).filter(|old| !wanted.iter().any(|c| c["type"] == old["type"]));
    changed.extend(gone.map(|old| json!({"$patch": "delete", "type": old["type"]})));
    Some(changed)
}

/// A list that would be merged by address has to be replaced as a whole.
fn replaced(base: Option<&Value>, wanted: &Value) -> Value {
    let mut list = wanted.as_array().cloned().unwrap_or_default();
    if base.and_then(Value::as_array).is_some_and(|old| !old.is_empty()) {
        list.insert(0, json!({"$patch": "replace"}));
    }
    Value::Array(list)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{bench, pod, until};

    #[tokio::test]
    async fn a_static_pods_status_goes_to_its_mirror_and_to_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let bench = bench(folder.path());
        let statuses = bench.context.statuses.clone();
        let source = json!({"kubernetes.io/config.source": "file"});
        let still = json!({"name": "p", "namespace": "n", "uid": "hash", "annotations": source});
        let still = Arc::new(pod(json!({"metadata": still})));
        let mirror = |uid: &str| pod(json!({"metadata": {"name": "p", "namespace": "n", "uid": uid}}));
        let status = |phase: &str| PodStatus { phase: Some(phase.into()), ..PodStatus::default() };
        let written = |count: usize| {
            let lines = bench.notes.all().into_iter().filter(|(what, _)| what.starts_with("PATCH"));
            let lines: Vec<String> = lines
                .map(|(_, body)| format!("{} {}", body["metadata"]["uid"], body["status"]["phase"]))
                .collect();
            if lines.len() == count { Ok(lines) } else { Err(format!("{lines:?}")) }
        };
        statuses.set(&still, status("Running"), Then::Keep);
        statuses.mirrored("hash", Some(&mirror("m1")));
        until(|| written(1).map(drop)).await;
        statuses.mirrored("hash", None);
        statuses.mirrored("hash", Some(&mirror("m2")));
        until(|| written(2).map(drop)).await;
        statuses.set(&still, status("Succeeded"), Then::Keep);
        until(|| written(3).map(drop)).await;
        expect![[r#"["\"m1\" \"Running\"", "\"m2\" \"Running\"", "\"m2\" \"Succeeded\""]"#]]
            .assert_eq(&format!("{:?}", written(3).expect("three")));
    }

    #[test]
    fn says_only_what_changed() {
        let status = |value: Value| -> PodStatus { serde_json::from_value(value).expect("a status") };
        let base = status(json!({
            "phase": "Pending", "podIPs": [{"ip": "1.1.1.1"}], "reason": "x",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]
        }));
        let wanted = status(json!({
            "phase": "Running", "podIPs": [{"ip": "2.2.2.2"}],
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "False"}]
        }));
        expect![[r#"{"conditions":[{"reason":null,"status":"True","type":"Ready"}],"phase":"Running","podIPs":[{"$patch":"replace"},{"ip":"2.2.2.2"}],"reason":null}"#]]
            .assert_eq(&patch(&base, &wanted).expect("differs").to_string());
        assert_eq!(patch(&wanted, &wanted), None);
    }
}
