//! Empties each namespace that is being deleted, pods first, then lets it go.
//!
//! Upstream: pkg/controller/namespace/deletion. Differs: remaining objects are looked at again when they are gone or
//! after their grace period, not on a fixed retry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::discovery::{Discovery, Scope, verbs};

use crate::context::Context;

/// How long to wait for objects that say nothing of their grace (upstream: 15 s at first).
const LOOK_AGAIN: Duration = Duration::from_secs(1);

struct Reconciler {
    context: Context,
    namespaces: Store<Namespace>,
}

pub(crate) async fn start(context: Context) {
    let namespaces = context.hub.store::<Namespace>();
    if !namespaces.synced().await {
        return;
    }
    Controller::new("namespace", &context.hub)
        .reconciles(&namespaces)
        .run(Arc::new(Reconciler { context, namespaces }));
}

/// Whether things may still be created in it.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

/// What is still there after deletion was asked for.
#[derive(Debug, Default)]
struct Remains {
    /// `pods.` or `leases.coordination.k8s.io` to the number of objects.
    objects: BTreeMap<String, usize>,
    /// Finalizer to the number of objects that it holds.
    finalizers: BTreeMap<String, usize>,
    /// The longest grace period of what is still there.
    grace: Duration,
}

impl Remains {
    fn count(&mut self, resource: &ApiResource, objects: &[kube::api::PartialObjectMeta<DynamicObject>]) {
        if objects.is_empty() {
            return;
        }
        self.objects.insert(format!("{}.{}", resource.plural, resource.group), objects.len());
        for object in objects {
            for finalizer in object.metadata.finalizers.iter().flatten() {
                *self.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
            let grace = object.metadata.deletion_grace_period_seconds.unwrap_or(0).max(0) as u64;
            self.grace = self.grace.max(Duration::from_secs(grace));
        }
    }
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(namespace) = self.namespaces.get(key) else { return Ok(Next::AwaitChange) };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
        if namespace.metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|f| f == "kubernetes") {
            return Ok(Next::AwaitChange);
        }
        let remains = self.delete_content(&key.name).await?;
        self.report(&namespace, &remains).await?;
        if !remains.objects.is_empty() {
            return Ok(Next::After(LOOK_AGAIN.max(remains.grace.min(Duration::from_secs(30)) / 2)));
        }
        self.finalize(&namespace, finalizers).await?;
        Ok(Next::AwaitChange)
    }
}

impl Reconciler {
    /// Deletes everything in the namespace; other kinds only once no pod is left, since they may serve the pods.
    async fn delete_content(&self, namespace: &str) -> kube::Result<Remains> {
        let mut remains = Remains::default();
        let resources = self.resources().await?;
        let (pods, others): (Vec<_>, Vec<_>) = resources
            .into_iter()
            .partition(|(resource, _)| resource.group.is_empty() && resource.plural == "pods");
        self.delete_all(namespace, &pods, &mut remains).await?;
        if remains.objects.is_empty() {
            self.delete_all(namespace, &others, &mut remains).await?;
        }
        Ok(remains)
    }

    /// Every namespaced resource that can be listed and deleted, and whether as a collection.
    async fn resources(&self) -> kube::Result<Vec<(ApiResource, bool)>> {
        let discovery = Discovery::new(self.context.client.clone()).run_aggregated().await?;
        let mut resources = Vec::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                let can = |verb| capabilities.supports_operation(verb);
                if capabilities.scope == Scope::Namespaced && can(verbs::LIST) && can(verbs::DELETE) {
                    resources.push((resource, can(verbs::DELETE_COLLECTION)));
                }
            }
        }
        Ok(resources)
    }

    async fn delete_all(
        &self,
        namespace: &str,
        resources: &[(ApiResource, bool)],
        remains: &mut Remains,
    ) -> kube::Result<()> {
        for (resource, collection) in resources {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.context.client.clone(), namespace, resource);
            if api.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
                continue;
            }
            let background = DeleteParams::background();
            if *collection {
                api.delete_collection(&background, &ListParams::default()).await?;
            } else {
                for object in api.list_metadata(&ListParams::default()).await?.items {
                    let name = object.metadata.name.unwrap_or_default();
                    ignore_not_found(api.delete(&name, &background).await)?;
                }
            }
            remains.count(resource, &api.list_metadata(&ListParams::default()).await?.items);
        }
        Ok(())
    }

    async fn report(&self, namespace: &Namespace, remains: &Remains) -> kube::Result<()> {
        let old = namespace.status.clone().unwrap_or_default();
        let now = Time(self.context.clock.now());
        let conditions = conditions(remains, old.conditions.as_deref().unwrap_or_default(), &now);
        let status = NamespaceStatus { phase: Some("Terminating".into()), conditions: Some(conditions) };
        if namespace.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = namespace.clone();
        changed.status = Some(status);
        // Only the newest state may be written over; the status is told again at the next look.
        changed.metadata.resource_version = None;
        let api: Api<Namespace> = Api::all(self.context.client.clone());
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        ignore_not_found(api.replace_status(name, &PostParams::default(), &changed).await)
    }

    async fn finalize(&self, namespace: &Namespace, finalizers: Vec<String>) -> kube::Result<()> {
        let mut changed = namespace.clone();
        changed.metadata.resource_version = None;
        let kept: Vec<_> = finalizers.into_iter().filter(|finalizer| finalizer != "kubernetes").collect();
        changed.spec.get_or_insert_default().finalizers = Some(kept);
        let api: Api<Namespace> = Api::all(self.context.client.clone());
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        ignore_not_found(api.replace_subresource("finalize", name, &PostParams::default(), &changed).await)
    }
}

fn ignore_not_found<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Err(error) if !client::is_not_found(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Upstream's five conditions, in upstream's words.
fn conditions(remains: &Remains, old: &[NamespaceCondition], now: &Time) -> Vec<NamespaceCondition> {
    let listed = |of: &BTreeMap<String, usize>, what: &str| {
        let parts: Vec<_> = of.iter().map(|(name, count)| format!("{name} has {count} {what}")).collect();
        parts.join(", ")
    };
    let told = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "ResourcesDiscovered",
            "All resources successfully discovered".into(),
            false,
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed".into(),
            false,
        ),
        (
            "NamespaceDeletionContentFailure",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".into(),
            false,
        ),
        if remains.objects.is_empty() {
            ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed".into(), false)
        } else {
            let message =
                format!("Some resources are remaining: {}", listed(&remains.objects, "resource instances"));
            ("NamespaceContentRemaining", "SomeResourcesRemain", message, true)
        },
        if remains.finalizers.is_empty() {
            (
                "NamespaceFinalizersRemaining",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished".into(),
                false,
            )
        } else {
            let message = format!(
                "Some content in the namespace has finalizers remaining: {}",
                listed(&remains.finalizers, "resource instances").replace(" has ", " in ")
            );
            ("NamespaceFinalizersRemaining", "SomeFinalizersRemain", message, true)
        },
    ];
    told.into_iter()
        .map(|(kind, reason, message, holds): (&str, &str, String, bool)| {
            let status = if holds { "True" } else { "False" };
            let since = old.iter().find(|c| c.type_ == kind && c.status == status);
            NamespaceCondition {
                type_: kind.into(),
                status: status.into(),
                reason: Some(reason.into()),
                message: Some(message),
                last_transition_time: since
                    .and_then(|c| c.last_transition_time.clone())
                    .or_else(|| Some(now.clone())),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_remains() {
        let remains = Remains {
            objects: [("pods.".to_owned(), 2)].into(),
            finalizers: [("a/b".to_owned(), 1)].into(),
            grace: Duration::ZERO,
        };
        let told = conditions(&remains, &[], &Time(jiff::Timestamp::UNIX_EPOCH));
        let messages: Vec<_> = told[3..].iter().map(|c| c.message.clone().expect("told")).collect();
        assert_eq!(
            messages,
            [
                "Some resources are remaining: pods. has 2 resource instances",
                "Some content in the namespace has finalizers remaining: a/b in 1 resource instances"
            ]
        );
    }
}
