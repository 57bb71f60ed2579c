//! Follows the metadata of every resource and carries out the plans.

use std::sync::Arc;
use std::time::Duration;

use client::{BoxError, Change, Key, Next, Queue, Store};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use parking_lot::RwLock;
use serde_json::json;
use stdx::error_chain;

use super::plan::{self, OwnerState, Propagation, Verdict};
use super::resources::{Metadata, Resource, Resources, discover, name_of};
use crate::context::Context;

/// Objects worked on at once (upstream's --concurrent-gc-syncs).
const WORKERS: usize = 20;
/// An owner whose kind is not known (yet) is looked for again after this.
const UNKNOWN_KIND: Duration = Duration::from_secs(30);

/// An object: the resource by `group/plural`, and its key.
type Item = (String, Key);

#[derive(Clone)]
struct Collector {
    context: Context,
    resources: Arc<RwLock<Resources>>,
    queue: Queue<Item>,
}

pub(crate) async fn start(context: Context) {
    let queue = Queue::new(context.clock.clone());
    let collector = Collector { context: context.clone(), resources: Arc::default(), queue };
    for _ in 0..WORKERS {
        context.hub.tasks().spawn("garbage-collector", collector.clone().work());
    }
    collector.follow_definitions().await;
}

impl Collector {
    /// Looks at the list of resources at the start and whenever a CustomResourceDefinition changes.
    async fn follow_definitions(&self) {
        let definitions = self.context.hub.store::<CustomResourceDefinition>();
        let shutdown = self.context.hub.shutdown().clone();
        if !definitions.synced().await {
            return;
        }
        let mut changes = definitions.subscribe();
        let mut backoff = stdx::Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        loop {
            while changes.try_recv().is_ok() {}
            match self.refresh().await {
                Ok(()) => {
                    backoff.reset();
                    tokio::select! {
                        () = shutdown.wait() => return,
                        change = changes.recv() => if change.is_none() { return },
                    }
                }
                Err(error) => {
                    tracing::debug!(error = error_chain(&error), "discovery failed");
                    tokio::select! {
                        () = shutdown.wait() => return,
                        () = self.context.clock.sleep(backoff.step()) => {}
                    }
                }
            }
        }
    }

    async fn refresh(&self) -> kube::Result<()> {
        for (api, namespaced) in discover(self.context.client.clone()).await? {
            let name = name_of(&api);
            if self.resources.read().contains_key(&name) {
                continue;
            }
            let store = self.context.hub.metadata(&api);
            self.follow(name.clone(), &store);
            self.resources.write().insert(name, Resource { api, namespaced, store });
        }
        Ok(())
    }

    /// Every object with owners or a deletion finalizer is looked at when it changes, and its dependents when it goes.
    fn follow(&self, resource: String, store: &Store<Metadata>) {
        let (mut changes, collector) = (store.subscribe(), self.clone());
        let shutdown = self.context.hub.shutdown().clone();
        self.context.hub.tasks().spawn("garbage-collector", async move {
            loop {
                tokio::select! {
                    () = shutdown.wait() => return,
                    change = changes.recv() => match change {
                        Some(change) => collector.changed(&resource, &change),
                        None => return,
                    },
                }
            }
        });
    }

    fn changed(&self, resource: &str, change: &Change<Metadata>) {
        let meta = &change.object().metadata;
        let uid = meta.uid.as_deref().unwrap_or_default();
        match change {
            Change::Deleted(_) => {
                self.dependents(uid).into_iter().for_each(|(item, _)| self.queue.add(item));
                // An owner that waits for its dependents may be free now.
                self.owners_of(meta).into_iter().for_each(|item| self.queue.add(item));
            }
            Change::Applied { .. } => {
                let deleted = meta.deletion_timestamp.is_some();
                let finalizing = plan::has(meta, plan::FOREGROUND) || plan::has(meta, plan::ORPHAN);
                if meta.owner_references.iter().flatten().next().is_some() || (deleted && finalizing) {
                    self.queue.add((resource.to_owned(), Key::of(&**change.object())));
                }
            }
        }
    }

    /// Owners that we follow, so that they are looked at again.
    fn owners_of(&self, meta: &ObjectMeta) -> Vec<Item> {
        let resources = self.resources.read();
        let owners = meta.owner_references.iter().flatten();
        owners
            .filter_map(|owner| {
                let (name, resource) = resources.iter().find(|(_, r)| is_kind(r, owner))?;
                Some((name.clone(), owner_key(resource, owner, meta)))
            })
            .collect()
    }

    fn dependents(&self, uid: &str) -> Vec<(Item, Arc<Metadata>)> {
        let resources = self.resources.read();
        let of = |(name, resource): (&String, &Resource)| {
            let owned = resource.store.owned_by(uid);
            owned.into_iter().map(|object| ((name.clone(), Key::of(&*object)), object)).collect::<Vec<_>>()
        };
        resources.iter().flat_map(of).collect()
    }

    async fn work(self) {
        let shutdown = self.context.hub.shutdown().clone();
        loop {
            let item = tokio::select! {
                () = shutdown.wait() => return,
                item = self.queue.next() => item,
            };
            match self.reconcile(&item).await {
                Ok(next) => {
                    self.queue.forget(&item);
                    if let Next::After(delay) = next {
                        self.queue.add_after(item.clone(), delay);
                    }
                }
                Err(error) => {
                    tracing::debug!(resource = item.0, object = %item.1, error = error_chain(&*error), "not collected");
                    self.queue.add_failed(item.clone());
                }
            }
            self.queue.done(&item);
        }
    }

    async fn reconcile(&self, item: &Item) -> Result<Next, BoxError> {
        let Some(resource) = self.resources.read().get(&item.0).cloned() else {
            return Ok(Next::AwaitChange);
        };
        let Some(object) = resource.store.get(&item.1) else { return Ok(Next::AwaitChange) };
        let meta = &object.metadata;
        if meta.deletion_timestamp.is_some() {
            return self.finalize(&resource, meta).await;
        }
        let mut owners = Vec::new();
        for owner in meta.owner_references.iter().flatten() {
            match self.state_of(owner, meta).await? {
                Some(state) => owners.push((owner.clone(), state)),
                // Nothing is deleted on a guess.
                None => return Ok(Next::After(UNKNOWN_KIND)),
            }
        }
        let has_dependents = !self.dependents(meta.uid.as_deref().unwrap_or_default()).is_empty();
        match plan::verdict(meta, &owners, has_dependents) {
            Verdict::Keep => {}
            Verdict::Unlink(uids) => self.unlink(&resource, meta, &uids).await?,
            Verdict::Delete(propagation) => self.delete(&resource, meta, propagation).await?,
        }
        Ok(Next::AwaitChange)
    }

    /// Asks the server; none when the owner's kind is not served.
    async fn state_of(&self, owner: &OwnerReference, of: &ObjectMeta) -> kube::Result<Option<OwnerState>> {
        let resource = self.resources.read().values().find(|resource| is_kind(resource, owner)).cloned();
        let Some(resource) = resource else { return Ok(None) };
        let key = owner_key(&resource, owner, of);
        let known = resource.store.get(&key).filter(|known| known.metadata.uid.as_ref() == Some(&owner.uid));
        let meta = match known {
            Some(known) => Some(known.metadata.clone()),
            None => {
                self.api(&resource, &key.namespace).get_metadata_opt(&key.name).await?.map(|o| o.metadata)
            }
        };
        Ok(Some(match meta {
            Some(meta) if meta.uid.as_ref() != Some(&owner.uid) => OwnerState::Absent,
            Some(meta) if plan::waits_for_dependents(&meta) => OwnerState::WaitsForDependents,
            Some(_) => OwnerState::Solid,
            None => OwnerState::Absent,
        }))
    }

    /// Foreground: the dependents go first. Orphan: they lose the reference first.
    async fn finalize(&self, resource: &Resource, meta: &ObjectMeta) -> Result<Next, BoxError> {
        let uid = meta.uid.as_deref().unwrap_or_default();
        let dependents = self.dependents(uid);
        if plan::has(meta, plan::ORPHAN) {
            for (item, dependent) in &dependents {
                let of = self.resources.read().get(&item.0).cloned();
                if let Some(of) = of {
                    self.unlink(&of, &dependent.metadata, &[uid.to_owned()]).await?;
                }
            }
            self.remove_finalizer(resource, meta, plan::ORPHAN).await?;
        } else if plan::has(meta, plan::FOREGROUND) {
            let blocking = dependents.iter().any(|(_, dependent)| plan::blocks(&dependent.metadata, uid));
            for (item, dependent) in dependents {
                if dependent.metadata.deletion_timestamp.is_none() {
                    self.queue.add(item);
                }
            }
            if !blocking {
                self.remove_finalizer(resource, meta, plan::FOREGROUND).await?;
            }
        }
        Ok(Next::AwaitChange)
    }

    fn api(&self, resource: &Resource, namespace: &str) -> Api<DynamicObject> {
        let client = self.context.client.clone();
        if resource.namespaced {
            Api::namespaced_with(client, namespace, &resource.api)
        } else {
            Api::all_with(client, &resource.api)
        }
    }

    async fn unlink(&self, resource: &Resource, meta: &ObjectMeta, uids: &[String]) -> kube::Result<()> {
        let kept: Vec<_> =
            meta.owner_references.iter().flatten().filter(|owner| !uids.contains(&owner.uid)).collect();
        // The resourceVersion guards against references that came meanwhile; a conflict is tried again.
        let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version,
            "ownerReferences": kept}});
        self.patch(resource, meta, patch).await
    }

    async fn remove_finalizer(
        &self,
        resource: &Resource,
        meta: &ObjectMeta,
        finalizer: &str,
    ) -> kube::Result<()> {
        let kept: Vec<_> = meta.finalizers.iter().flatten().filter(|f| *f != finalizer).collect();
        let patch = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version,
            "finalizers": kept}});
        self.patch(resource, meta, patch).await
    }

    async fn patch(
        &self,
        resource: &Resource,
        meta: &ObjectMeta,
        patch: serde_json::Value,
    ) -> kube::Result<()> {
        let api = self.api(resource, meta.namespace.as_deref().unwrap_or_default());
        let name = meta.name.as_deref().unwrap_or_default();
        match api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if !client::is_not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }

    async fn delete(&self, resource: &Resource, meta: &ObjectMeta, how: Propagation) -> kube::Result<()> {
        let policy = match how {
            Propagation::Background => PropagationPolicy::Background,
            Propagation::Foreground => PropagationPolicy::Foreground,
            Propagation::Orphan => PropagationPolicy::Orphan,
        };
        let params = DeleteParams {
            propagation_policy: Some(policy),
            // The version too: owners that were added meanwhile keep the object.
            preconditions: Some(Preconditions {
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let api = self.api(resource, meta.namespace.as_deref().unwrap_or_default());
        match api.delete(meta.name.as_deref().unwrap_or_default(), &params).await {
            Err(error) if !client::is_not_found(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_kind(resource: &Resource, owner: &OwnerReference) -> bool {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    resource.api.kind == owner.kind && resource.api.group == group
}

/// An owner is in its dependent's namespace, or in none.
fn owner_key(resource: &Resource, owner: &OwnerReference, of: &ObjectMeta) -> Key {
    let namespace =
        if resource.namespaced { of.namespace.clone().unwrap_or_default() } else { String::new() };
    Key::new(namespace, owner.name.clone())
}
