//! Counts what each ResourceQuota bounds.
//!
//! Admission charges what is made; this counts anew when something goes, when a quota changes, and every five
//! minutes, since a write that failed after it was charged tells nobody. Upstream: pkg/controller/resourcequota.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::quantity::Quantity;
use api::quota::{self, Amounts};
use async_trait::async_trait;
use client::{BoxError, Change, Controller, Key, Next, Object, Queue, Reconcile, Store};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, Service};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta, PostParams};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::garbage_collector::discover;
use crate::pods;

/// Upstream's --resource-quota-sync-period.
const PERIOD: Duration = Duration::from_secs(300);
/// Resources that quotas know by a name without `count/`.
const BARE: [&str; 5] =
    ["configmaps", "secrets", "replicationcontrollers", "resourcequotas", "resourceclaims"];

type Metadata = PartialObjectMeta<DynamicObject>;

struct Reconciler {
    context: Context,
    quotas: Store<ResourceQuota>,
    pods: Store<Pod>,
    services: Store<Service>,
    claims: Store<PersistentVolumeClaim>,
    /// Other resources that some quota counts, by their `count/` name.
    counted: Mutex<BTreeMap<String, Store<Metadata>>>,
    queue: Queue<Key>,
}

pub(crate) async fn start(context: Context) {
    let hub = context.hub.clone();
    let (quotas, pods) = (hub.store::<ResourceQuota>(), hub.store::<Pod>());
    let (services, claims) = (hub.store::<Service>(), hub.store::<PersistentVolumeClaim>());
    let synced = [quotas.synced().await, pods.synced().await, services.synced().await, claims.synced().await];
    if synced.contains(&false) {
        return;
    }
    let (of_pods, of_services, of_claims) = (quotas.clone(), quotas.clone(), quotas.clone());
    let controller = Controller::new("resourcequota", &hub);
    let queue = controller.queue();
    controller
        .watches(&quotas, |change| match change {
            Change::Applied { new, .. } if is_current(new) => Vec::new(),
            change => vec![Key::of(&**change.object())],
        })
        .watches(&pods, move |change| match change {
            Change::Applied { old: Some(old), new } if pods::is_finished(new) && !pods::is_finished(old) => {
                quotas_of(new, &of_pods)
            }
            change => gone(change, &of_pods),
        })
        .watches(&services, move |change| match change {
            Change::Applied { old: Some(old), new } if old.spec != new.spec => quotas_of(new, &of_services),
            change => gone(change, &of_services),
        })
        .watches(&claims, move |change| gone(change, &of_claims))
        .run(Arc::new(Reconciler {
            context,
            quotas,
            pods,
            services,
            claims,
            counted: Mutex::default(),
            queue,
        }));
}

fn gone<K: Object>(change: &Change<K>, quotas: &Store<ResourceQuota>) -> Vec<Key> {
    match change {
        Change::Deleted(last) => quotas_of(last, quotas),
        Change::Applied { .. } => Vec::new(),
    }
}

fn quotas_of<K: Object>(object: &Arc<K>, quotas: &Store<ResourceQuota>) -> Vec<Key> {
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    quotas.in_namespace(&namespace).iter().map(|quota| Key::of(&**quota)).collect()
}

/// Whether the status tells of all that the spec bounds. Charges by admission are no reason to count again.
fn is_current(quota: &ResourceQuota) -> bool {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let status = quota.status.clone().unwrap_or_default();
    let used = status.used.unwrap_or_default();
    status.hard.unwrap_or_default() == hard && hard.keys().all(|name| used.contains_key(name))
}

/// The `count/` names of what a quota counts by number only.
fn counts(quota: &ResourceQuota) -> BTreeSet<String> {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    let counted = |name: &String| {
        let bare = BARE.contains(&name.as_str()).then(|| format!("count/{name}"));
        bare.or_else(|| name.starts_with("count/").then(|| name.clone()))
    };
    let typed = ["count/pods", "count/services", "count/persistentvolumeclaims"];
    hard.keys().filter_map(counted).filter(|name| !typed.contains(&name.as_str())).collect()
}

/// `count/jobs.batch`: the resource and its group.
fn resource_of(name: &str) -> (&str, &str) {
    let plain = name.trim_start_matches("count/");
    plain.split_once('.').unwrap_or((plain, ""))
}

/// Adds up what `objects` take of a quota. Pure.
fn usage<K: Serialize>(quota: &Value, group: &str, resource: &str, objects: &[Arc<K>], used: &mut Amounts) {
    for object in objects {
        let object = serde_json::to_value(&**object).expect("an API object has string keys and serializes");
        if quota::matches(quota, group, resource, &object) {
            quota::add(used, &quota::usage(group, resource, &object));
        }
    }
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(quota) = self.quotas.get(key).filter(|quota| quota.metadata.deletion_timestamp.is_none())
        else {
            return Ok(Next::AwaitChange);
        };
        let used = self.used(&quota).await?;
        self.report(key, &quota, &used).await?;
        Ok(Next::After(PERIOD))
    }
}

impl Reconciler {
    async fn used(&self, quota: &ResourceQuota) -> kube::Result<Amounts> {
        let value = serde_json::to_value(quota).expect("a quota has string keys and serializes");
        let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
        let mut used = Amounts::new();
        usage(&value, "", "pods", &self.pods.in_namespace(namespace), &mut used);
        usage(&value, "", "services", &self.services.in_namespace(namespace), &mut used);
        usage(&value, "", "persistentvolumeclaims", &self.claims.in_namespace(namespace), &mut used);
        for name in counts(quota) {
            let (resource, group) = resource_of(&name);
            let Some(store) = self.counted(&name).await? else { continue };
            for _ in store.in_namespace(namespace) {
                let object = json!({});
                if quota::matches(&value, group, resource, &object) {
                    quota::add(&mut used, &quota::usage(group, resource, &object));
                }
            }
        }
        Ok(used)
    }

    /// The objects of a resource; none for a resource that there is not (yet).
    async fn counted(&self, name: &str) -> kube::Result<Option<Store<Metadata>>> {
        if let Some(store) = self.counted.lock().get(name) {
            return Ok(Some(store.clone()));
        }
        let (resource, group) = resource_of(name);
        let all = discover(self.context.hub.client().clone()).await?;
        let found = all.into_iter().find(|(api, _)| api.plural == resource && api.group == group);
        let Some((api, _)) = found else { return Ok(None) };
        let store = self.context.hub.metadata(&api);
        store.synced().await;
        self.follow(name, &api, &store);
        Ok(Some(store))
    }

    /// Whenever one goes, the quotas of its namespace are counted.
    fn follow(&self, name: &str, api: &ApiResource, store: &Store<Metadata>) {
        if self.counted.lock().insert(name.to_owned(), store.clone()).is_some() {
            return;
        }
        tracing::debug!(resource = api.plural, "a quota counts another resource");
        let (mut changes, queue, quotas) = (store.subscribe(), self.queue.clone(), self.quotas.clone());
        let shutdown = self.context.hub.shutdown().clone();
        self.context.hub.tasks().spawn("resourcequota", async move {
            loop {
                tokio::select! {
                    () = shutdown.wait() => return,
                    change = changes.recv() => {
                        let Some(change) = change else { return };
                        gone(&change, &quotas).into_iter().for_each(|key| queue.add(key));
                    }
                }
            }
        });
    }

    async fn report(&self, key: &Key, quota: &ResourceQuota, used: &Amounts) -> kube::Result<()> {
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let bounded: Amounts = hard
            .keys()
            .map(|name| (name.clone(), used.get(name).copied().unwrap_or(Quantity::ZERO)))
            .collect();
        let text =
            |amount: &Quantity| k8s_openapi::apimachinery::pkg::api::resource::Quantity(amount.to_string());
        let used: BTreeMap<_, _> =
            bounded.iter().map(|(name, amount)| (name.clone(), text(amount))).collect();
        let mut changed = quota.clone();
        let status = changed.status.get_or_insert_default();
        (status.hard, status.used) = (Some(hard), Some(used));
        if changed.status == quota.status {
            return Ok(());
        }
        let api: Api<ResourceQuota> = Api::namespaced(self.context.client.clone(), &key.namespace);
        match api.replace_status(&key.name, &PostParams::default(), &changed).await {
            Err(error) if client::is_not_found(&error) => Ok(()),
            result => result.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(value: Value) -> ResourceQuota {
        serde_json::from_value(value).expect("a quota")
    }

    #[test]
    fn a_quota_is_current_when_its_status_tells_of_all() {
        let with = |hard: Value, status: Value| {
            quota(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": status}))
        };
        assert!(!is_current(&with(json!({"pods": "1"}), json!({}))));
        assert!(!is_current(&with(
            json!({"pods": "1"}),
            json!({"hard": {"pods": "2"}, "used": {"pods": "0"}})
        )));
        assert!(!is_current(&with(json!({"pods": "1"}), json!({"hard": {"pods": "1"}, "used": {}}))));
        assert!(is_current(&with(
            json!({"pods": "1"}),
            json!({"hard": {"pods": "1"}, "used": {"pods": "7"}})
        )));
    }

    #[test]
    fn pods_count_unless_they_are_over() {
        let value = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "9", "count/jobs.batch": "1", "secrets": "1"}}});
        let pod = |phase: &str| {
            let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
                "status": {"phase": phase}});
            Arc::new(serde_json::from_value::<Pod>(pod).expect("a pod"))
        };
        let mut used = Amounts::new();
        usage(&value, "", "pods", &[pod("Running"), pod("Succeeded"), pod("Pending")], &mut used);
        assert_eq!((used["pods"].value(), used["requests.cpu"].value()), (2, 2));
        let names: Vec<_> = counts(&quota(value)).into_iter().collect();
        assert_eq!(names, ["count/jobs.batch", "count/secrets"]);
        assert_eq!(resource_of("count/jobs.batch"), ("jobs", "batch"));
    }
}
