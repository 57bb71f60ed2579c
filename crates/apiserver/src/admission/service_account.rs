//! ServiceAccount: every pod runs as an account of its namespace and gets that account's token.
//!
//! Upstream: plugin/pkg/admission/serviceaccount.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use stdx::{Clock, Random};

use super::pod::{containers_mut, is_mirror, push};
use super::{Admission, Request};
use crate::ApiError;
use crate::auth::{Change, Objects, fields};

const DEFAULT: &str = "default";
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// An hour and seven seconds: the mark of tokens that this plugin asks for; see [`crate::auth::token`].
const TOKEN_SECONDS: u32 = 3607;
/// A new namespace gets its default account within moments; upstream waits ten times a tenth of a second.
const DEFAULT_ACCOUNT_WAIT: Duration = Duration::from_secs(2);

pub(super) struct ServiceAccount {
    pub objects: Arc<dyn Objects>,
    pub clock: Clock,
    pub random: Random,
}

#[async_trait]
impl Admission for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    async fn admit(&self, request: &mut Request) -> Result<(), ApiError> {
        if !request.creates("", "pods") {
            return Ok(());
        }
        let Some(mut pod) = request.object.take() else { return Ok(()) };
        let admitted = self.admit_pod(request, &mut pod).await;
        request.object = Some(pod);
        admitted
    }
}

impl ServiceAccount {
    async fn admit_pod(&self, request: &Request, pod: &mut Value) -> Result<(), ApiError> {
        if is_mirror(pod) {
            return check_mirror(request, pod);
        }
        let mut name = fields::text(pod, "/spec/serviceAccountName").to_owned();
        if name.is_empty() {
            name = DEFAULT.to_owned();
        }
        pod["spec"]["serviceAccountName"] = json!(name);
        pod["spec"]["serviceAccount"] = json!(name);
        let Some(account) = self.account(&request.namespace, &name).await else {
            return Err(request.forbidden(format!(
                "error looking up service account {}/{name}: serviceaccount {name:?} not found",
                request.namespace
            )));
        };
        if automounts(&account, pod) {
            self.mount_token(pod);
        }
        let secrets = fields::list(&account, "/imagePullSecrets");
        if fields::list(pod, "/spec/imagePullSecrets").is_empty() && !secrets.is_empty() {
            pod["spec"]["imagePullSecrets"] = json!(secrets);
        }
        Ok(())
    }

    async fn account(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let found = self.objects.get("", "serviceaccounts", namespace, name).await;
        if found.is_some() || name != DEFAULT {
            return found;
        }
        tokio::select! {
            appeared = self.appearance(namespace, name) => appeared,
            () = self.clock.sleep(DEFAULT_ACCOUNT_WAIT) => None,
        }
    }

    async fn appearance(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let mut changes = self.objects.watch("", "serviceaccounts");
        while let Some(change) = changes.next().await {
            match change {
                Change::Put(account)
                    if fields::namespace(&account) == namespace && fields::name(&account) == name =>
                {
                    return Some(account);
                }
                _ => {}
            }
        }
        None
    }

    fn mount_token(&self, pod: &mut Value) {
        let volumes = fields::list(pod, "/spec/volumes");
        let existing =
            volumes.iter().map(fields_name).find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
        let has_volume = existing.is_some();
        let name = existing.unwrap_or_else(|| format!("{VOLUME_PREFIX}{}", self.random.alphanumeric(5)));
        let mut needed = false;
        for container in containers_mut(&mut pod["spec"], &["initContainers", "containers"]) {
            let mounted =
                fields::list(container, "/volumeMounts").iter().any(|mount| mount["mountPath"] == MOUNT_PATH);
            if !mounted {
                push(
                    container,
                    "volumeMounts",
                    json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}),
                );
                needed = true;
            }
        }
        if needed && !has_volume {
            push(&mut pod["spec"], "volumes", json!({"name": name, "projected": token_source()}));
        }
    }
}

fn fields_name(volume: &Value) -> &str {
    fields::text(volume, "/name")
}

fn automounts(account: &Value, pod: &Value) -> bool {
    let own = pod["spec"]["automountServiceAccountToken"].as_bool();
    own.or_else(|| account["automountServiceAccountToken"].as_bool()).unwrap_or(true)
}

/// Token, authority and namespace, in one folder.
fn token_source() -> Value {
    json!({
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{
                "path": "namespace",
                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
            }]}},
        ],
    })
}

fn check_mirror(request: &Request, pod: &Value) -> Result<(), ApiError> {
    if !fields::text(pod, "/spec/serviceAccountName").is_empty() {
        return Err(request.forbidden("a mirror pod may not reference service accounts"));
    }
    let projects_token = |volume: &Value| {
        fields::list(volume, "/projected/sources")
            .iter()
            .any(|source| !source["serviceAccountToken"].is_null())
    };
    match fields::list(pod, "/spec/volumes").iter().any(projects_token) {
        true => Err(request.forbidden("a mirror pod may not use ServiceAccountToken volume projections")),
        false => Ok(()),
    }
}
