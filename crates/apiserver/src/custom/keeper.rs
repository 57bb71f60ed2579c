//! The server's own bookkeeping of definitions: names are given, conditions told, and the objects of a definition that
//! is being deleted are deleted first.
//!
//! Level-triggered: a definition is looked at whenever it, or one of its group, changes. Upstream runs this in the API
//! server as well, since nobody else may answer for what it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http::Method;
use serde_json::Value;
use stdx::Backoff;

use super::names::{self, set};
use super::{CLEANUP, DEFINITIONS};
use crate::auth::UserInfo;
use crate::cache::{Selection, Watcher};
use crate::error::{ApiError, Result};
use crate::registry::{Current, Storage, Swap, deletion};
use crate::server::{Core, Handle};
use crate::{body, object};

/// Runs until shutdown.
pub async fn keep(handle: Handle) {
    let Some(storage) = handle.core().registry.storage(DEFINITIONS.0, DEFINITIONS.1) else { return };
    let (snapshot, watcher) = storage.cache.list_and_watch(Selection::everything("", false));
    let waiting = snapshot.entries.iter().map(|entry| entry.index.name.to_string()).collect();
    let keeper = Keeper {
        handle,
        storage,
        waiting,
        emptying: Emptying::default(),
        backoffs: BTreeMap::new(),
        again: FuturesUnordered::new(),
    };
    keeper.run(watcher).await;
}

type Outcome = (String, Result<()>);

/// Definitions whose objects are being deleted.
#[derive(Default)]
struct Emptying {
    names: BTreeSet<String>,
    running: FuturesUnordered<BoxFuture<'static, Outcome>>,
}

struct Keeper {
    handle: Handle,
    storage: Arc<Storage>,
    /// Names of definitions to look at.
    waiting: BTreeSet<String>,
    emptying: Emptying,
    /// Of what failed.
    backoffs: BTreeMap<String, Backoff>,
    /// What failed, when it is time to try again.
    again: FuturesUnordered<BoxFuture<'static, String>>,
}

impl Keeper {
    async fn run(mut self, mut watcher: Watcher) {
        let shutdown = self.handle.core().shutdown.clone();
        loop {
            while let Some(name) = self.waiting.pop_first() {
                if let Err(error) = self.look_at(&name).await {
                    self.settle((name, Err(error)));
                }
            }
            tokio::select! {
                () = watcher.changed() => self.take(&mut watcher),
                Some(outcome) = self.emptying.running.next() => self.settle(outcome),
                Some(name) = self.again.next() => { self.waiting.insert(name); }
                () = shutdown.wait() => return,
            }
        }
    }

    fn take(&mut self, watcher: &mut Watcher) {
        let everything = Selection::everything("", false);
        let names: Vec<String> = match watcher.take() {
            Ok(taken) => taken.seen.iter().map(|(.., entry)| entry.index.name.to_string()).collect(),
            Err(_) => {
                let (snapshot, begun) = self.storage.cache.list_and_watch(everything);
                *watcher = begun;
                snapshot.entries.iter().map(|entry| entry.index.name.to_string()).collect()
            }
        };
        for name in names {
            // A change may set names free, or take them: the whole group is looked at.
            let group = name.split_once('.').map_or("", |(_, group)| group).to_owned();
            let same = self.of_group(&group, &name);
            self.waiting.extend(same.iter().map(|other| object::name(other).to_owned()));
            self.waiting.insert(name);
        }
    }

    /// The definitions of a group but for one.
    fn of_group(&self, group: &str, but: &str) -> Vec<Value> {
        let all = self.storage.cache.list(&Selection::everything("", false), 0).entries;
        let others = all.iter().filter(|entry| {
            *entry.index.name != *but && entry.index.name.split_once('.').is_some_and(|(_, own)| own == group)
        });
        others.map(|entry| entry.value()).collect()
    }

    /// What failed is tried again later.
    fn settle(&mut self, (name, outcome): Outcome) {
        self.emptying.names.remove(&name);
        match outcome {
            Ok(()) => {
                self.backoffs.remove(&name);
            }
            Err(error) => {
                tracing::warn!(definition = name, error = error.log(), "a definition is not as it should be");
                let backoff = self.backoffs.entry(name.clone());
                let backoff = backoff
                    .or_insert_with(|| Backoff::new(Duration::from_millis(50), Duration::from_secs(30)));
                let (wait, clock) = (backoff.step(), self.handle.core().clock.clone());
                self.again.push(Box::pin(async move {
                    clock.sleep(wait).await;
                    name
                }));
            }
        }
    }

    async fn look_at(&mut self, name: &str) -> Result<()> {
        self.storage.catch_up().await?;
        let Some(current) = self.storage.read("", name).await? else { return Ok(()) };
        let definition = &current.value;
        let group = definition["spec"]["group"].as_str().unwrap_or("");
        let others = self.of_group(group, name);
        let now = object::time(self.handle.core().clock.now());
        let status = names::status(definition, &others.iter().collect::<Vec<_>>(), &now);
        if status != definition["status"] {
            let mut changed = definition.clone();
            changed["status"] = status;
            // Whoever was faster makes a change that brings us here again.
            return self.storage.replace(&current, &changed).await.map(drop);
        }
        if names::is_emptying(definition) && self.emptying.names.insert(name.to_owned()) {
            let work = empty(self.handle.clone(), self.storage.clone(), name.to_owned());
            self.emptying.running.push(Box::pin(work));
        }
        Ok(())
    }
}

/// Deletes all objects of a definition, waits until they are gone, and lets the definition go.
async fn empty(handle: Handle, storage: Arc<Storage>, name: String) -> Outcome {
    let done = async {
        let Some(current) = storage.read("", &name).await? else { return Ok(()) };
        let spec = &current.value["spec"];
        let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
        if let Some(installed) = handle.core().registry.installed(&group, &plural) {
            let text = "CustomResource deletion is in progress";
            tell(handle.core(), &storage, &name, ("InstanceDeletionInProgress", text)).await?;
            let objects = installed.storage.clone();
            let (_, mut watcher) =
                objects.cache.list_and_watch(Selection::everything("", objects.namespaced));
            objects.catch_up().await?;
            if !objects.cache.is_empty() {
                delete_all(&handle, &installed.served, &objects).await?;
            }
            objects.catch_up().await?;
            while !objects.cache.is_empty() {
                watcher.changed().await;
                if watcher.take().is_err() {
                    watcher = objects.cache.list_and_watch(Selection::everything("", objects.namespaced)).1;
                }
            }
        }
        release(&storage, &name).await
    }
    .await;
    (name, done)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

/// As any client would: finalizers of the objects hold.
async fn delete_all(
    handle: &Handle,
    served: &[Arc<crate::registry::Served>],
    objects: &Arc<Storage>,
) -> Result<()> {
    let Some(version) = served.first() else { return remove_all(objects).await };
    let path = format!("/apis/{}/{}/{}", version.group, version.version, version.resource);
    let request = http::Request::builder()
        .method(Method::DELETE)
        .uri(&path)
        .extension(UserInfo::apiserver())
        .body(body::full(Vec::new()))
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let code = handle.handler().handle(request).await.status();
    match code.is_success() {
        true => Ok(()),
        false => Err(ApiError::internal(format!("deleting {path} answered {code}"))),
    }
}

/// Of a definition without a served version nobody can ask for its objects.
async fn remove_all(objects: &Arc<Storage>) -> Result<()> {
    for entry in objects.cache.list(&Selection::everything("", objects.namespaced), 0).entries {
        let mut current = objects.read(&entry.index.namespace, &entry.index.name).await?;
        while let Some(found) = current {
            current = match objects.remove(&found).await? {
                Swap::Done(_) => None,
                Swap::Stale(newer) => newer,
            };
        }
    }
    Ok(())
}

/// Changes a definition until it holds.
async fn change(storage: &Storage, name: &str, change: impl Fn(&mut Value)) -> Result<()> {
    let mut current = storage.read("", name).await?;
    while let Some(found) = current {
        let mut changed = found.value.clone();
        change(&mut changed);
        current = match swap(storage, &found, &changed).await? {
            Swap::Done(_) => None,
            Swap::Stale(newer) => newer,
        };
    }
    Ok(())
}

async fn swap(storage: &Storage, current: &Current, changed: &Value) -> Result<Swap> {
    match deletion::is_finished(storage, changed, &current.value) {
        true => storage.remove(current).await,
        false => storage.replace(current, changed).await,
    }
}

async fn tell(core: &Core, storage: &Storage, name: &str, why: (&str, &str)) -> Result<()> {
    let now = object::time(core.clock.now());
    change(storage, name, |definition| set(&mut definition["status"], "Terminating", true, why, &now)).await
}

async fn release(storage: &Storage, name: &str) -> Result<()> {
    change(storage, name, |definition| {
        let mut finalizers = object::finalizers(definition);
        finalizers.retain(|finalizer| finalizer != CLEANUP);
        object::set_finalizers(definition, finalizers);
    })
    .await
}
