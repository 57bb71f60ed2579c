//! All resources: what is served, what is stored, and where a key of the store belongs.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Resource, ResourceRef, Schema};
use arc_swap::ArcSwap;
use store::{Engine, KeyValue};

use super::customs::Customs;
use super::served::Subresource;
use super::{Codec, Conversion, Served, Storage, keys};
use crate::cache::{Entry, Feed, ResourceCache, Sink};
use crate::custom::{self, Converters, DEFINITIONS, Definition, Installed};
use crate::error::GroupResource;
use crate::strategy;
use crate::strategy::traits::Traits;

/// Versions that are off unless asked for, as upstream's: all that are not stable. metrics.k8s.io never became it.
fn is_served(resource: &Resource) -> bool {
    resource.group == crate::metrics::GROUP
        || !resource.version.contains("alpha") && !resource.version.contains("beta")
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
    served: Arc<[Arc<Served>]>,
    by_path: HashMap<(String, String, String), Arc<Served>>,
    stored: HashMap<GroupResource, Arc<Storage>>,
    by_prefix: HashMap<String, Arc<Storage>>,
    delete_options: Codec,
    /// What definitions have added. Only the store feed changes it.
    customs: ArcSwap<Customs>,
    pub converters: Converters,
    feed: Feed,
    engine: Arc<dyn Engine>,
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
            customs: ArcSwap::from_pointee(Customs::default()),
            converters: Converters::default(),
            feed: feed.clone(),
            engine: engine.clone(),
            served: served.into(),
            stored,
            delete_options: Codec::named("meta.k8s.io/v1", "DeleteOptions").expect("described in meta/v1"),
        }
    }

    /// In discovery's order.
    pub fn all(&self) -> Arc<[Arc<Served>]> {
        let customs = self.customs.load();
        if customs.is_empty() {
            return self.served.clone();
        }
        let mut all: Vec<Arc<Served>> = self.served.iter().cloned().chain(customs.served()).collect();
        // Stable: built-in resources keep their order, versions of custom ones are in theirs already.
        all.sort_by_key(|served| (rank(&served.group), served.group.clone()));
        all.into()
    }

    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<Arc<Served>> {
        self.find_builtin(group, version, resource)
            .cloned()
            .or_else(|| self.customs.load().find(group, version, resource))
    }

    pub fn find_builtin(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), resource.to_owned()))
    }

    /// The same objects in all versions that are served.
    pub fn equivalents(&self, group: &str, resource: &str) -> Vec<Arc<Served>> {
        let Some(storage) = self.storage(group, resource) else { return Vec::new() };
        let is_same = |served: &&Arc<Served>| {
            served.storage.as_ref().is_some_and(|other| other.prefix == storage.prefix)
        };
        self.all().iter().filter(is_same).cloned().collect()
    }

    /// Where the objects of a resource are, whatever version is meant.
    pub fn storage(&self, group: &str, resource: &str) -> Option<Arc<Storage>> {
        let group = if (group, resource) == ("events.k8s.io", "events") { "" } else { group };
        let built_in = self.stored.get(&GroupResource::new(group, resource));
        built_in.cloned().or_else(|| Some(self.customs.load().get(group, resource)?.storage.clone()))
    }

    /// A definition in service.
    pub fn installed(&self, group: &str, plural: &str) -> Option<Arc<Installed>> {
        self.customs.load().get(group, plural)
    }

    /// All of them.
    pub fn customs(&self) -> Arc<Customs> {
        self.customs.load_full()
    }

    /// Rises when what is served changes.
    pub fn generation(&self) -> u64 {
        self.customs.load().generation
    }

    /// The storage that a key of the store belongs to.
    fn of_prefix(&self, prefix: &str) -> Option<Arc<Storage>> {
        self.by_prefix.get(prefix).cloned().or_else(|| self.customs.load().of_prefix(prefix))
    }

    /// Takes a definition into service, out of it, or leaves it as it is.
    fn install(&self, name: &str, object: Option<&serde_json::Value>) {
        let customs = self.customs.load_full();
        let old = customs.named(name);
        let new = object.and_then(|object| Definition::of(object, &self.converters));
        let same = match (&old, &new) {
            (None, None) => true,
            (Some(old), Some(new)) => old.definition.is_as(new),
            _ => false,
        };
        if same {
            return;
        }
        let cache = old.as_ref().map(|old| old.storage.cache.clone());
        let installed = new.map(|new| Arc::new(custom::serve(new, cache, &self.feed, &self.engine)));
        match (&old, &installed) {
            (Some(_), Some(installed)) => {
                let storage = &installed.storage;
                storage.cache.remake(|entry| storage.entry_of(&entry.stored, entry.revision).ok()); // told when read
            }
            (Some(old), None) => old.storage.cache.close(),
            (None, _) => {}
        }
        self.customs.store(Arc::new(customs.with(name, installed)));
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
        custom: None,
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
        let (storage, rest) = keys::split(key, |prefix| self.of_prefix(prefix))?;
        Some((storage.cache.clone(), rest.to_string()))
    }

    fn entry(&self, kv: &KeyValue) -> Option<Arc<Entry>> {
        let key = std::str::from_utf8(&kv.key).ok()?; // as above
        let (storage, _) = keys::split(key, |prefix| self.of_prefix(prefix))?;
        match storage.entry(kv) {
            Ok(entry) => Some(Arc::new(entry)),
            Err(error) => {
                tracing::error!(key, error = error.log(), "cannot read a stored object");
                None
            }
        }
    }

    fn caches(&self) -> Vec<Arc<ResourceCache>> {
        let customs = self.customs.load();
        let custom = customs.iter().map(|installed| installed.storage.cache.clone());
        self.stored.values().map(|storage| storage.cache.clone()).chain(custom).collect()
    }

    fn define(&self, key: &[u8], now: Option<&KeyValue>) {
        let (group, resource) = DEFINITIONS;
        let Some(storage) = self.stored.get(&GroupResource::new(group, resource)) else { return };
        let name = key.strip_prefix(storage.prefix.as_bytes()).map(String::from_utf8_lossy);
        let Some(name) = name else { return };
        let object = now.map(|kv| storage.codec.decode_stored(&kv.value));
        match object {
            None => self.install(&name, None),
            Some(Ok(object)) => self.install(&name, Some(&object)),
            Some(Err(error)) => {
                tracing::error!(%name, error = error.log(), "cannot read a stored definition")
            }
        }
    }

    fn keep_definitions(&self, names: &[&[u8]]) {
        let (group, resource) = DEFINITIONS;
        let Some(storage) = self.stored.get(&GroupResource::new(group, resource)) else { return };
        let stays = |name: &str| {
            names.iter().any(|key| key.strip_prefix(storage.prefix.as_bytes()) == Some(name.as_bytes()))
        };
        let gone: Vec<String> =
            self.customs.load().names().filter(|name| !stays(name)).map(str::to_owned).collect();
        for name in gone {
            self.install(&name, None);
        }
    }
}
