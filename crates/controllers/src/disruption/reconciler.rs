//! Reads a budget and its pods, counts, reports.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Change, Controller, EventType, Key, Next, Reconcile, Store, reference};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use kube::Api;
use stdx::error_chain;

use super::count::{Basis, basis, disrupted, failed, status};
use super::scale::{Error, Scales};
use super::stale;
use crate::context::Context;
use crate::freshness::Written;
use crate::selector;

struct Reconciler {
    context: Context,
    budgets: Store<PodDisruptionBudget>,
    pods: Store<Pod>,
    scales: Scales,
    written: Written,
}

pub(crate) async fn start(context: Context) {
    let hub = &context.hub;
    let (budgets, pods) = (hub.store::<PodDisruptionBudget>(), hub.store::<Pod>());
    let scales = Scales {
        client: context.client.clone(),
        deployments: hub.store(),
        sets: hub.store(),
        stateful: hub.store(),
        controllers: hub.store(),
    };
    let synced = [
        budgets.synced().await,
        pods.synced().await,
        scales.deployments.synced().await,
        scales.sets.synced().await,
        scales.stateful.synced().await,
        scales.controllers.synced().await,
    ];
    if synced.contains(&false) {
        return;
    }
    stale::start(context.clone(), pods.clone());
    let known = budgets.clone();
    Controller::new("disruption", hub)
        .reconciles(&budgets)
        .watches(&pods, move |change| {
            let old = match change {
                Change::Applied { old: Some(old), .. } => budgets_of(old, &known),
                _ => Vec::new(),
            };
            old.into_iter().chain(budgets_of(change.object(), &known)).collect()
        })
        .run(Arc::new(Reconciler { budgets, pods, scales, written: Written::default(), context }));
}

fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selector::matches(selector, pod.metadata.labels.as_ref()))
}

fn budgets_of(pod: &Pod, budgets: &Store<PodDisruptionBudget>) -> Vec<Key> {
    let all = budgets.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default());
    all.iter().filter(|budget| selects(budget, pod)).map(|budget| Key::of(&**budget)).collect()
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(budget) = self.budgets.get(key) else {
            self.written.forget(key);
            return Ok(Next::AwaitChange);
        };
        if self.written.is_stale(key, &*budget) {
            return Ok(Next::AwaitChange);
        }
        let all = self.pods.in_namespace(&key.namespace);
        let pods: Vec<_> = all.into_iter().filter(|pod| selects(&budget, pod)).collect();
        if pods.is_empty() {
            self.say(&budget, EventType::Normal, "NoPods", "No matching pods found".to_owned());
        }
        let now = self.context.clock.now();
        let expected = match self.expected(&budget, &pods).await {
            Ok(expected) => expected,
            Err(error) => {
                let why = error_chain(&error);
                let message = format!("Failed to calculate the number of expected pods: {why}");
                self.say(&budget, EventType::Warning, "CalculateExpectedPodCountFailed", message);
                self.report(key, &budget, failed(&budget, &why, now)).await?;
                return Err(error.into());
            }
        };
        let disrupted = disrupted(&budget, &pods, now);
        for pod in &disrupted.overdue {
            let message = format!("Pod was expected by PDB {key} to be deleted but it wasn't");
            self.context.recorder.event(&reference(&**pod), EventType::Warning, "NotDeleted", message);
        }
        self.report(key, &budget, status(&budget, &pods, expected, &disrupted, now)).await?;
        Ok(disrupted.recheck.map_or(Next::AwaitChange, Next::After))
    }
}

impl Reconciler {
    fn say(&self, budget: &PodDisruptionBudget, kind: EventType, reason: &str, message: String) {
        self.context.recorder.event(&reference(budget), kind, reason, message);
    }

    async fn expected(&self, budget: &PodDisruptionBudget, pods: &[Arc<Pod>]) -> Result<i32, Error> {
        if basis(budget) == Basis::Pods {
            return Ok(pods.len() as i32);
        }
        let expected = self.scales.expected(pods).await?;
        if !expected.unmanaged.is_empty() {
            let message = "Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.";
            self.say(budget, EventType::Warning, "UnmanagedPods", message.to_owned());
        }
        Ok(expected.count)
    }

    async fn report(
        &self,
        key: &Key,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> kube::Result<()> {
        if budget.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let changed = PodDisruptionBudget { status: Some(status), ..budget.clone() };
        let api: Api<PodDisruptionBudget> = Api::namespaced(self.context.client.clone(), &key.namespace);
        self.written.replace_status(key, &api, &changed).await.map(drop)
    }
}
