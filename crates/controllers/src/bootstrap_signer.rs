//! Signs the cluster-info ConfigMap with every bootstrap token, so that a node that has one knows it is genuine.
//!
//! Upstream: pkg/controller/bootstrap/bootstrapsigner.go, cluster-bootstrap/token/jws: a detached JWS with HMAC-SHA256
//! over the kubeconfig, keyed by the token, by the id of the token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::PostParams;

use crate::context::Context;
use crate::token_cleaner::{expires, text, tokens};

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const PREFIX: &str = "jws-kubeconfig-";

struct Reconciler {
    context: Context,
    maps: Store<ConfigMap>,
    secrets: Store<Secret>,
}

pub(crate) async fn start(context: Context) {
    let maps =
        context.hub.selected::<ConfigMap>(format!("metadata.name={NAME},metadata.namespace={NAMESPACE}"));
    let secrets = tokens(&context);
    if !(maps.synced().await && secrets.synced().await) {
        return;
    }
    let this = || vec![Key::new(NAMESPACE, NAME)];
    Controller::new("bootstrap-signer", &context.hub)
        .watches(&maps, move |_| this())
        .watches(&secrets, move |_| this())
        .workers(1)
        .run(Arc::new(Reconciler { context, maps, secrets }));
}

/// Id and secret of a token that may sign.
fn signing(secret: &Secret) -> Option<(String, String)> {
    let (id, token) = (text(secret, "token-id")?, text(secret, "token-secret")?);
    let named = secret.metadata.name.as_deref() == Some(format!("bootstrap-token-{id}").as_str());
    let used = text(secret, "usage-bootstrap-signing").as_deref() == Some("true");
    (named && used && !id.is_empty() && !token.is_empty()).then_some((id, token))
}

/// The entries of the map: what it has of others, and a signature for each token.
fn signed(data: &BTreeMap<String, String>, tokens: &[(String, String)]) -> BTreeMap<String, String> {
    let kept = data.iter().filter(|(key, _)| !key.starts_with(PREFIX));
    let mut all: BTreeMap<_, _> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(kubeconfig) = data.get(KUBECONFIG) {
        let entry = |(id, secret): &(String, String)| {
            (format!("{PREFIX}{id}"), pki::detached_jws(kubeconfig, id, secret))
        };
        all.extend(tokens.iter().map(entry));
    }
    all
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(map) = self.maps.get(key) else { return Ok(Next::AwaitChange) };
        let now = self.context.clock.now();
        let secrets = self.secrets.in_namespace("kube-system");
        let valid = secrets.iter().filter(|secret| expires(secret).is_none_or(|end| end > now));
        let tokens: Vec<_> = valid.filter_map(|secret| signing(secret)).collect();
        let data = map.data.clone().unwrap_or_default();
        let signed = signed(&data, &tokens);
        if signed != data {
            let changed = ConfigMap { data: Some(signed), ..(*map).clone() };
            let api: Api<ConfigMap> = Api::namespaced(self.context.client.clone(), NAMESPACE);
            api.replace(NAME, &PostParams::default(), &changed).await?;
        }
        let ends = secrets.iter().filter_map(|secret| expires(secret)).filter(|end| *end > now);
        // The time from now to then is positive.
        let next = ends.min().map(|end| Duration::try_from(end.duration_since(now)).unwrap_or_default());
        Ok(next.map_or(Next::AwaitChange, Next::After))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_signs_and_old_signatures_go() {
        let data = [("kubeconfig", "k"), ("jws-kubeconfig-gone", "x"), ("other", "o")];
        let data = data.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let signed = signed(&data, &[("abcdef".to_owned(), "0123456789abcdef".to_owned())]);
        let keys: Vec<_> = signed.keys().map(String::as_str).collect();
        assert_eq!(keys, ["jws-kubeconfig-abcdef", "kubeconfig", "other"]);
    }
}
