//! All resources: what is served, what is stored, and where a key of the store belongs.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Resource, ResourceRef, Schema};
use store::{Engine, KeyValue};

use super::served::Subresource;
use super::{Codec, Conversion, Served, Storage, keys};
use crate::cache::{Entry, Feed, ResourceCache, Sink};
use crate::error::GroupResource;
use crate::strategy;
use crate::strategy::traits::Traits;

/// Versions that are off unless asked for, as upstream's: all that are not stable.
fn is_served(resource: &Resource) -> bool {
    !resource.version.contains("alpha") && !resource.version.contains("beta")
}

/// Where a resource's objects are stored, if not under their own group and version.
const STORED_AS: [(&str, &str, &str, &str, &str); 2] = [
    ("events.k8s.io", "v1", "events", "", "v1"),
    ("autoscaling", "v1", "horizontalpodautoscalers", "autoscaling", "v2"),
];

/// Upstream's order of groups in discovery; what is not here follows by name.
const GROUP_ORDER: [&str; 21] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Everything that is served.
pub struct Registry {
    served: Vec<Arc<Served>>,
    by_path: HashMap<(String, String, String), Arc<Served>>,
    stored: HashMap<GroupResource, Arc<Storage>>,
    by_prefix: HashMap<String, Arc<Storage>>,
    delete_options: Codec,
}

impl Registry {
    /// The built-in resources.
    pub fn builtin(feed: &Feed, engine: &Arc<dyn Engine>) -> Self {
        let schema = Schema::builtin();
        let resources: Vec<ResourceRef<'static>> = schema
            .resources()
            .iter()
            .filter(|resource| is_served(resource))
            .map(|resource| ResourceRef { schema, resource })
            .collect();
        let mut stored = HashMap::new();
        for resource in &resources {
            if stored_as(resource) == (&resource.group, &resource.version) && is_stored(resource) {
                let storage = Arc::new(storage(*resource, feed, engine));
                stored.insert(storage.resource.clone(), storage);
            }
        }
        let mut served: Vec<Arc<Served>> = resources
            .iter()
            .enumerate()
            .map(|(number, resource)| Arc::new(serve(number as u64, *resource, &stored)))
            .collect();
        served
            .sort_by_key(|s| (rank(&s.group), s.group.clone(), version_rank(&s.version), s.resource.clone()));
        Self {
            by_path: served
                .iter()
                .map(|s| ((s.group.clone(), s.version.clone(), s.resource.clone()), s.clone()))
                .collect(),
            by_prefix: stored.values().map(|s| (s.prefix.clone(), s.clone())).collect(),
            served,
            stored,
            delete_options: Codec::named("meta.k8s.io/v1", "DeleteOptions").expect("described in meta/v1"),
        }
    }

    /// In discovery's order.
    pub fn all(&self) -> &[Arc<Served>] {
        &self.served
    }

    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), resource.to_owned()))
    }

    /// Where the objects of a resource are, whatever version is meant.
    pub fn storage(&self, group: &str, resource: &str) -> Option<&Arc<Storage>> {
        let group = if (group, resource) == ("events.k8s.io", "events") { "" } else { group };
        self.stored.get(&GroupResource::new(group, resource))
    }

    pub fn delete_options(&self) -> &Codec {
        &self.delete_options
    }
}

/// Newer versions first.
fn version_rank(version: &str) -> std::cmp::Reverse<u32> {
    let digits: String = version.chars().skip(1).take_while(char::is_ascii_digit).collect();
    std::cmp::Reverse(digits.parse().unwrap_or(0)) // not a version like v1: last
}

fn rank(group: &str) -> usize {
    GROUP_ORDER.iter().position(|known| *known == group).unwrap_or(GROUP_ORDER.len())
}

fn stored_as<'a>(resource: &ResourceRef<'a>) -> (&'a str, &'a str) {
    let r = resource.resource;
    STORED_AS
        .iter()
        .find(|(group, version, plural, ..)| {
            (*group, *version, *plural) == (&*r.group, &*r.version, &*r.plural)
        })
        .map_or((&r.group, &r.version), |(.., group, version)| (group, version))
}

/// Reviews and bindings are answered, not kept.
fn is_stored(resource: &ResourceRef<'_>) -> bool {
    resource.resource.has_verb("*") || resource.resource.has_verb("update")
}

fn storage(resource: ResourceRef<'static>, feed: &Feed, engine: &Arc<dyn Engine>) -> Storage {
    let Resource { group, plural, kind, namespaced, .. } = resource.resource;
    Storage {
        resource: GroupResource::new(group.as_ref(), plural.as_ref()),
        kind: kind.to_string(),
        api_version: resource.resource.api_version(),
        namespaced: *namespaced,
        has_status: resource.resource.subresource("status").is_some(),
        prefix: keys::prefix(group, plural),
        codec: Codec::of_resource(resource),
        traits: Traits::of(group, plural),
        strategy: strategy::of(group, plural),
        cache: Arc::new(ResourceCache::new(feed.clone())),
        engine: engine.clone(),
    }
}

fn serve(
    number: u64,
    resource: ResourceRef<'static>,
    stored: &HashMap<GroupResource, Arc<Storage>>,
) -> Served {
    let r = resource.resource;
    let (group, version) = stored_as(&resource);
    let codec = Codec::of_resource(resource);
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect();
    Served {
        number,
        group: r.group.to_string(),
        version: r.version.to_string(),
        resource: r.plural.to_string(),
        singular: r.kind.to_lowercase(),
        kind: r.kind.to_string(),
        namespaced: r.namespaced,
        verbs: verbs(&r.verbs),
        short_names: texts(codec.short_names()),
        categories: texts(codec.categories()),
        subresources: r.subresources.iter().map(|sub| subresource(resource, sub)).collect(),
        storage: stored.get(&GroupResource::new(group, r.plural.as_ref())).cloned(),
        conversion: Conversion::between((&r.group, &r.version, &r.plural), (group, version, &r.plural)),
        is_custom: false,
        type_prefix: format!(r#"{{"kind":"{}","apiVersion":"{}","#, r.kind, r.api_version()),
        codec,
    }
}

/// `*` stands for all, in discovery's order.
fn verbs(described: &[api::schema::Text]) -> Vec<String> {
    const ALL: [&str; 8] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    if described.iter().any(|verb| verb == "*") {
        return ALL.map(str::to_string).into();
    }
    described.iter().map(ToString::to_string).collect()
}

fn subresource(owner: ResourceRef<'static>, sub: &'static api::Subresource) -> Subresource {
    let object = sub.kind.map(|id| owner.schema.type_ref(id));
    let described = object.map(|object| object.get());
    let is_own = sub.kind == Some(owner.resource.type_id);
    Subresource {
        name: sub.name.to_string(),
        verbs: verbs(&sub.verbs),
        codec: object.map(|object| if is_own { Codec::of_resource(owner) } else { Codec::of_type(object) }),
        kind: described.map_or_else(|| connect_kind(&owner), |d| d.name.to_string()),
        group: described.map_or_else(String::new, |d| d.group.to_string()),
        version: described.map_or_else(String::new, |d| d.version.to_string()),
    }
}

/// What discovery calls a subresource that has no object.
fn connect_kind(owner: &ResourceRef<'_>) -> String {
    match &*owner.resource.plural {
        "nodes" => "NodeProxyOptions".into(),
        "services" => "ServiceProxyOptions".into(),
        _ => "Pod".into(),
    }
}

impl Sink for Registry {
    fn route(&self, key: &[u8]) -> Option<(Arc<ResourceCache>, String)> {
        let key = std::str::from_utf8(key).ok()?; // no key of an object is anything else
        let (storage, rest) = keys::split(key, |prefix| self.by_prefix.get(prefix))?;
        Some((storage.cache.clone(), rest.to_string()))
    }

    fn entry(&self, kv: &KeyValue) -> Option<Arc<Entry>> {
        let key = std::str::from_utf8(&kv.key).ok()?; // as above
        let (storage, _) = keys::split(key, |prefix| self.by_prefix.get(prefix))?;
        match storage.entry(kv) {
            Ok(entry) => Some(Arc::new(entry)),
            Err(error) => {
                tracing::error!(key, error = error.log(), "cannot read a stored object");
                None
            }
        }
    }

    fn caches(&self) -> Vec<Arc<ResourceCache>> {
        self.stored.values().map(|storage| storage.cache.clone()).collect()
    }
}
