//! Which resources are collected: all that can be listed, watched and deleted, custom ones included.

use std::collections::HashMap;

use client::Store;
use kube::Client;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::discovery::{Discovery, Scope, verbs};

/// Never owned, or too many to be worth it (upstream's `DefaultIgnoredResources`).
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

pub(super) type Metadata = PartialObjectMeta<DynamicObject>;

/// A resource that is collected.
#[derive(Clone)]
pub(super) struct Resource {
    pub api: ApiResource,
    pub namespaced: bool,
    pub store: Store<Metadata>,
}

/// Resources by `group/plural`.
pub(super) type Resources = HashMap<String, Resource>;

pub(super) fn name_of(api: &ApiResource) -> String {
    format!("{}/{}", api.group, api.plural)
}

/// What discovery lists now.
pub(crate) async fn discover(client: Client) -> kube::Result<Vec<(ApiResource, bool)>> {
    let discovery = Discovery::new(client).run_aggregated().await?;
    let mut found = Vec::new();
    for group in discovery.groups() {
        for (api, capabilities) in group.recommended_resources() {
            let can =
                [verbs::LIST, verbs::WATCH, verbs::DELETE].iter().all(|v| capabilities.supports_operation(v));
            let ignored = IGNORED.contains(&(api.group.as_str(), api.plural.as_str()));
            if can && !ignored {
                found.push((api, capabilities.scope == Scope::Namespaced));
            }
        }
    }
    Ok(found)
}
