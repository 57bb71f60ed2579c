//! Keeps a ServiceAccount named `default` in every namespace.
//!
//! Upstream: pkg/controller/serviceaccount/serviceaccounts_controller.go.

use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;

use crate::context::Context;
use crate::namespace::is_active;

const DEFAULT: &str = "default";

struct Reconciler {
    context: Context,
    namespaces: Store<Namespace>,
    accounts: Store<ServiceAccount>,
}

pub(crate) async fn start(context: Context) {
    let (namespaces, accounts) = (context.hub.store::<Namespace>(), context.hub.store::<ServiceAccount>());
    if !(namespaces.synced().await && accounts.synced().await) {
        return;
    }
    Controller::new("service-account", &context.hub)
        .reconciles(&namespaces)
        .watches(&accounts, |change| match change {
            client::Change::Deleted(last) => {
                vec![Key::new("", last.metadata.namespace.clone().unwrap_or_default())]
            }
            client::Change::Applied { .. } => Vec::new(),
        })
        .run(Arc::new(Reconciler { context, namespaces, accounts }));
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let active = self.namespaces.get(key).is_some_and(|namespace| is_active(&namespace));
        if !active || self.accounts.get(&Key::new(&key.name, DEFAULT)).is_some() {
            return Ok(Next::AwaitChange);
        }
        let metadata = ObjectMeta { name: Some(DEFAULT.into()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let api: Api<ServiceAccount> = Api::namespaced(self.context.client.clone(), &key.name);
        match api.create(&PostParams::default(), &account).await {
            Err(error) if !client::is_already_exists(&error) && !client::is_namespace_terminating(&error) => {
                Err(error.into())
            }
            _ => Ok(Next::AwaitChange),
        }
    }
}
