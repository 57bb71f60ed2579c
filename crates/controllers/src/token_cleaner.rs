//! Deletes bootstrap tokens that have expired.
//!
//! Upstream: pkg/controller/bootstrap/tokencleaner.go.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use crate::context::Context;

/// The kind of secret that a bootstrap token is.
pub(crate) const TYPE: &str = "bootstrap.kubernetes.io/token";

struct Reconciler {
    context: Context,
    secrets: Store<Secret>,
}

/// The bootstrap tokens of the cluster.
pub(crate) fn tokens(context: &Context) -> Store<Secret> {
    context.hub.selected::<Secret>(format!("type={TYPE}"))
}

pub(crate) async fn start(context: Context) {
    let secrets = tokens(&context);
    if !secrets.synced().await {
        return;
    }
    Controller::new("token-cleaner", &context.hub)
        .reconciles(&secrets)
        .workers(1)
        .run(Arc::new(Reconciler { context, secrets }));
}

/// One entry of a token's secret, as text.
pub(crate) fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    // What is no text is no entry.
    String::from_utf8(value.0.clone()).ok()
}

/// When a token expires. A time that cannot be read has passed, as upstream has it: better no token than an eternal one.
pub(crate) fn expires(secret: &Secret) -> Option<Timestamp> {
    let text = text(secret, "expiration").filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or(Timestamp::UNIX_EPOCH))
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(secret) = self.secrets.get(key).filter(|_| key.namespace == "kube-system") else {
            return Ok(Next::AwaitChange);
        };
        let Some(end) = expires(&secret) else { return Ok(Next::AwaitChange) };
        // A negative time has passed.
        if let Ok(left) = Duration::try_from(end.duration_since(self.context.clock.now()))
            && !left.is_zero()
        {
            return Ok(Next::After(left));
        }
        let same = Preconditions { uid: secret.metadata.uid.clone(), resource_version: None };
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), &key.namespace);
        match api.delete(&key.name, &DeleteParams::default().preconditions(same)).await {
            Err(error) if !client::is_not_found(&error) => Err(error.into()),
            _ => Ok(Next::AwaitChange),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn times_that_cannot_be_read_have_passed() {
        let with = |text: &str| {
            let data = [("expiration".to_owned(), ByteString(text.into()))].into();
            Secret { data: Some(data), ..Secret::default() }
        };
        assert_eq!(expires(&Secret::default()), None);
        assert_eq!(expires(&with("2026-01-01T00:00:00Z")).map(|end| end.as_second()), Some(1_767_225_600));
        assert_eq!(expires(&with("soon")), Some(Timestamp::UNIX_EPOCH));
    }
}
