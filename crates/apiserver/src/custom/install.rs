//! What a definition adds to what is served and stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::Engine;

use super::definition::{Definition, Kind};
use crate::cache::{Feed, ResourceCache};
use crate::error::GroupResource;
use crate::registry::{Codec, Conversion, Served, Storage, Subresource};
use crate::strategy;
use crate::strategy::traits::{Generation, Traits};

/// A definition in service.
pub struct Installed {
    pub definition: Arc<Definition>,
    /// Of the version that objects are stored in.
    pub storage: Arc<Storage>,
    /// Versions that are served.
    pub served: Vec<Arc<Served>>,
}

/// Numbers of built-in resources are small.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(10_000);

/// Puts a definition into service; objects that are cached stay where they are.
pub fn serve(
    definition: Definition,
    cache: Option<Arc<ResourceCache>>,
    feed: &Feed,
    engine: &Arc<dyn Engine>,
) -> Installed {
    let definition = Arc::new(definition);
    let cache = cache.unwrap_or_else(|| Arc::new(ResourceCache::new(feed.clone())));
    let kind = |at: usize| Kind { definition: definition.clone(), at };
    let storage = Arc::new(storage(kind(definition.storage), &cache, engine));
    let served = (0..definition.versions.len())
        .filter(|at| definition.versions[*at].served)
        .map(|at| {
            let storage = match at == definition.storage {
                true => storage.clone(),
                false => Arc::new(self::storage(kind(at), &cache, engine)),
            };
            Arc::new(served(kind(at), storage))
        })
        .collect();
    Installed { served, storage, definition }
}

fn storage(kind: Kind, cache: &Arc<ResourceCache>, engine: &Arc<dyn Engine>) -> Storage {
    let definition = &kind.definition;
    let has_status = kind.version().has_status;
    Storage {
        resource: GroupResource::new(definition.group.as_str(), definition.plural.as_str()),
        kind: definition.kind.clone(),
        api_version: definition.api_version(kind.at),
        namespaced: definition.namespaced,
        has_status,
        prefix: format!("/registry/{}/{}/", definition.group, definition.plural),
        traits: Traits {
            unconditional_update: false,
            create_on_update: false,
            generation: if has_status { Generation::Content } else { Generation::Everything },
            status_on_create: false,
            relaxed: false,
            expires: false,
        },
        strategy: strategy::of("", ""),
        cache: cache.clone(),
        engine: engine.clone(),
        codec: Codec::custom(kind),
    }
}

fn served(kind: Kind, storage: Arc<Storage>) -> Served {
    let definition = &kind.definition;
    let version = kind.version();
    let verbs = |verbs: &[&str]| verbs.iter().map(|verb| (*verb).to_owned()).collect::<Vec<_>>();
    let mut subresources = Vec::new();
    if version.has_status {
        subresources.push(Subresource {
            name: "status".into(),
            verbs: verbs(&["get", "patch", "update"]),
            codec: Some(storage.codec.clone()),
            kind: definition.kind.clone(),
            group: definition.group.clone(),
            version: version.name.clone(),
        });
    }
    if version.scale.is_some() {
        subresources.push(Subresource {
            name: "scale".into(),
            verbs: verbs(&["get", "patch", "update"]),
            codec: Codec::named("autoscaling/v1", "Scale"),
            kind: "Scale".into(),
            group: "autoscaling".into(),
            version: "v1".into(),
        });
    }
    Served {
        number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
        group: definition.group.clone(),
        version: version.name.clone(),
        resource: definition.plural.clone(),
        singular: definition.singular.clone(),
        kind: definition.kind.clone(),
        namespaced: definition.namespaced,
        verbs: verbs(&["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]),
        short_names: definition.short_names.clone(),
        categories: definition.categories.clone(),
        subresources,
        codec: storage.codec.clone(),
        conversion: Conversion::None,
        type_prefix: format!(
            r#"{{"apiVersion":"{}","kind":"{}","#,
            definition.api_version(kind.at),
            definition.kind
        ),
        storage: Some(storage),
        custom: Some(kind.clone()),
    }
}
