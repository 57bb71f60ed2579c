//! ResourceQuota: what a namespace may hold. Charges at once, by compare-and-swap on the quota's status; the counting
//! controller corrects what a failed write has charged.
//!
//! Upstream: k8s.io/apiserver/pkg/admission/plugin/resourcequota.

use std::sync::Arc;

use api::quota::{self, Amounts};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Admission, Operation, Request};
use crate::ApiError;
use crate::cache::Selection;
use crate::object;
use crate::registry::{Registry, Storage, Swap};

/// Another write may charge the same quota in between so often.
const ATTEMPTS: usize = 10;

pub(crate) struct ResourceQuota {
    pub registry: Arc<Registry>,
}

#[async_trait]
impl Admission for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    async fn validate(&self, request: &Request) -> Result<(), ApiError> {
        let Some(object) = self.subject(request) else { return Ok(()) };
        let Some(quotas) = self.registry.storage("", "resourcequotas") else { return Ok(()) };
        for name in names(&quotas, &request.namespace).await? {
            charge(&quotas, request, object, &name).await?;
        }
        Ok(())
    }
}

impl ResourceQuota {
    /// The object to be charged for; none if this write takes nothing of a namespace.
    fn subject<'a>(&self, request: &'a Request) -> Option<&'a Value> {
        let (group, resource) = (request.resource.group.as_str(), request.resource.resource.as_str());
        let grows = matches!((group, resource), ("", "pods" | "services" | "persistentvolumeclaims"));
        let is_resize = (resource, request.subresource.as_str()) == ("pods", "resize");
        let is_charged = match request.operation {
            Operation::Create => request.subresource.is_empty(),
            Operation::Update => grows && (request.subresource.is_empty() || is_resize),
            _ => false,
        };
        let placed = !request.namespace.is_empty() && (group, resource) != ("", "namespaces");
        let stored = self.registry.storage(group, resource).is_some();
        if is_charged && placed && stored { request.object.as_ref() } else { None }
    }
}

async fn names(quotas: &Storage, namespace: &str) -> Result<Vec<String>, ApiError> {
    quotas.catch_up().await?;
    let all = quotas.cache.list(&Selection::everything(namespace, true), 0);
    Ok(all.entries.iter().map(|entry| entry.index.name.to_string()).collect())
}

async fn charge(quotas: &Storage, request: &Request, object: &Value, name: &str) -> Result<(), ApiError> {
    let mut found = quotas.read(&request.namespace, name).await?;
    for _ in 0..ATTEMPTS {
        let Some(current) = found else { return Ok(()) };
        let Some(charged) = charged(request, object, &current.value)? else { return Ok(()) };
        if request.dry_run {
            return Ok(());
        }
        match quotas.replace(&current, &charged).await? {
            Swap::Done(_) => return Ok(()),
            Swap::Stale(newer) => found = newer,
        }
    }
    Err(ApiError::conflict(
        &quotas.resource,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    ))
}

/// The quota with the object's usage in its status; none if it does not count it.
fn charged(request: &Request, object: &Value, quota: &Value) -> Result<Option<Value>, ApiError> {
    let (group, resource) = (request.resource.group.as_str(), request.resource.resource.as_str());
    let name = object::name(quota);
    if !quota::matches(quota, group, resource, object) {
        return Ok(None);
    }
    let hard = quota::amounts(&quota["status"]["hard"]);
    if (group, resource) == ("", "pods")
        && request.operation == Operation::Create
        && let Some(missing) = quota::missing(&hard, object)
    {
        return Err(request.forbidden(format!("failed quota: {name}: must specify {missing}")));
    }
    let before = request.old.as_ref().map(|old| quota::usage(group, resource, old)).unwrap_or_default();
    let mut asked = quota::growth(&quota::usage(group, resource, object), &before);
    let bounded = quota::amounts(&quota["spec"]["hard"]);
    asked.retain(|name, _| bounded.contains_key(name));
    if asked.is_empty() {
        return Ok(None);
    }
    let mut used = quota::amounts(&quota["status"]["used"]);
    let unknown: Vec<&str> =
        asked.keys().filter(|name| !used.contains_key(*name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let why = format!("status unknown for quota: {name}, resources: {}", unknown.join(","));
        return Err(request.forbidden(why));
    }
    check(request, name, &asked, &used, &hard)?;
    quota::add(&mut used, &asked);
    let mut charged = quota.clone();
    charged["status"]["used"] = quota::to_value(&used);
    if charged["status"]["hard"].is_null() {
        charged["status"]["hard"] = json!({});
    }
    Ok(Some(charged))
}

fn check(
    request: &Request,
    name: &str,
    asked: &Amounts,
    used: &Amounts,
    hard: &Amounts,
) -> Result<(), ApiError> {
    let mut after = used.clone();
    quota::add(&mut after, asked);
    let is_over =
        |name: &String| hard.get(name).is_some_and(|limit| after.get(name).is_some_and(|sum| sum > limit));
    let over: Vec<&String> = asked.keys().filter(|name| is_over(name)).collect();
    if over.is_empty() {
        return Ok(());
    }
    let part = |amounts: &Amounts| {
        let kept = amounts.iter().filter(|(name, _)| over.contains(name));
        quota::told(&kept.map(|(name, amount)| (name.clone(), *amount)).collect())
    };
    Err(request.forbidden(format!(
        "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
        part(asked),
        part(used),
        part(hard)
    )))
}
