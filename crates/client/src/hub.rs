//! One informer per kind and process, started when somebody first asks for it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::{Client, Resource};
use parking_lot::Mutex;
use stdx::{Clock, Shutdown, Tasks};

use crate::informer::{Informer, MetadataOnly, Source, Whole};
use crate::store::{Object, Store};

/// The process's informers; clones share them.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    client: Client,
    clock: Clock,
    tasks: Tasks,
    shutdown: Shutdown,
    stores: Mutex<HashMap<Topic, Box<dyn Any + Send>>>,
}

/// What an informer follows.
#[derive(PartialEq, Eq, Hash)]
enum Topic {
    Kind { kind: TypeId, fields: Option<String> },
    Metadata { api_version: String, plural: String },
}

impl Hub {
    pub fn new(client: Client, clock: Clock, tasks: Tasks, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner { client, clock, tasks, shutdown, stores: Mutex::default() }))
    }

    pub fn client(&self) -> &Client {
        &self.0.client
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// All objects of a kind, in all namespaces.
    pub fn store<K>(&self) -> Store<K>
    where
        K: Object + Resource<DynamicType = ()>,
    {
        self.kind(None)
    }

    /// The objects of a kind that a field selector picks, such as `spec.nodeName=a`.
    pub fn selected<K>(&self, fields: impl Into<String>) -> Store<K>
    where
        K: Object + Resource<DynamicType = ()>,
    {
        self.kind(Some(fields.into()))
    }

    /// The metadata of all objects of a resource that need not be known when this is compiled.
    pub fn metadata(&self, resource: &ApiResource) -> Store<PartialObjectMeta<DynamicObject>> {
        let topic =
            Topic::Metadata { api_version: resource.api_version.clone(), plural: resource.plural.clone() };
        let source = MetadataOnly(Api::<DynamicObject>::all_with(self.0.client.clone(), resource));
        self.shared(topic, &resource.plural, None, source)
    }

    fn kind<K>(&self, fields: Option<String>) -> Store<K>
    where
        K: Object + Resource<DynamicType = ()>,
    {
        let topic = Topic::Kind { kind: TypeId::of::<K>(), fields: fields.clone() };
        self.shared(topic, &K::plural(&()), fields, Whole(Api::<K>::all(self.0.client.clone())))
    }

    fn shared<K: Object>(
        &self,
        topic: Topic,
        what: &str,
        fields: Option<String>,
        source: impl Source<K> + 'static,
    ) -> Store<K> {
        let mut stores = self.0.stores.lock();
        if let Some(store) = stores.get(&topic).and_then(|store| store.downcast_ref::<Store<K>>()) {
            return store.clone();
        }
        let (store, writer) = Store::new();
        let informer = Informer {
            what: what.to_owned(),
            source: Box::new(source),
            fields,
            writer,
            clock: self.0.clock.clone(),
        };
        self.0.tasks.spawn("informer", informer.run(self.0.shutdown.clone()));
        stores.insert(topic, Box::new(store.clone()));
        store
    }
}
