//! Publishes the cluster's root certificate to every namespace, for pods to trust the API server.
//!
//! Upstream: pkg/controller/certificates/rootcacertpublisher.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;

use crate::context::Context;
use crate::namespace::is_active;

const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
/// Upstream's words, for people who look at the object.
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
);

struct Reconciler {
    context: Context,
    root: String,
    namespaces: Store<Namespace>,
    maps: Store<ConfigMap>,
}

/// `root` is the certificate in PEM.
pub(crate) async fn start(context: Context, root: String) {
    let namespaces = context.hub.store::<Namespace>();
    let maps = context.hub.selected::<ConfigMap>(format!("metadata.name={NAME}"));
    if !(namespaces.synced().await && maps.synced().await) {
        return;
    }
    Controller::new("root-ca-publisher", &context.hub)
        .reconciles(&namespaces)
        .watches(&maps, |change| {
            vec![Key::new("", change.object().metadata.namespace.clone().unwrap_or_default())]
        })
        .run(Arc::new(Reconciler { context, root, namespaces, maps }));
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        if !self.namespaces.get(key).is_some_and(|namespace| is_active(&namespace)) {
            return Ok(Next::AwaitChange);
        }
        let api: Api<ConfigMap> = Api::namespaced(self.context.client.clone(), &key.name);
        let wanted: BTreeMap<_, _> = [(KEY.to_owned(), self.root.clone())].into();
        let written = match self.maps.get(&Key::new(&key.name, NAME)) {
            Some(map) if map.data.as_ref() == Some(&wanted) => return Ok(Next::AwaitChange),
            Some(map) => {
                let map = ConfigMap { data: Some(wanted), ..(*map).clone() };
                api.replace(NAME, &PostParams::default(), &map).await
            }
            None => api.create(&PostParams::default(), &new_map(wanted)).await,
        };
        match written {
            Err(error) if client::is_namespace_terminating(&error) || client::is_already_exists(&error) => {
                Ok(Next::AwaitChange)
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(Next::AwaitChange),
        }
    }
}

fn new_map(data: BTreeMap<String, String>) -> ConfigMap {
    let annotations = [(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned())].into();
    let metadata =
        ObjectMeta { name: Some(NAME.into()), annotations: Some(annotations), ..ObjectMeta::default() };
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}
