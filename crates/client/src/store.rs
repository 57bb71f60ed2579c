//! What an informer knows: every object of a kind, decoded once and shared, with indexes and subscribers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use kube::Resource;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use crate::Key;

/// What a kind must offer to be watched.
pub trait Object: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}
impl<K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Object for K {}

/// One change of one object.
#[derive(Debug)]
pub enum Change<K> {
    /// Created or updated; `old` is what stood there before.
    Applied { old: Option<Arc<K>>, new: Arc<K> },
    /// Gone; the last state that was seen.
    Deleted(Arc<K>),
}

impl<K> Clone for Change<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Applied { old, new } => Self::Applied { old: old.clone(), new: new.clone() },
            Self::Deleted(last) => Self::Deleted(last.clone()),
        }
    }
}

impl<K> Change<K> {
    /// The newest state that the change tells.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Self::Applied { new, .. } => new,
            Self::Deleted(last) => last,
        }
    }
}

/// The changes since a subscription, in order, beginning with all that was there.
pub type Changes<K> = mpsc::UnboundedReceiver<Change<K>>;

type Indexer<K> = Box<dyn Fn(&K) -> Vec<String> + Send + Sync>;

/// A shared view of all objects of one kind; clones share it.
pub struct Store<K> {
    state: Arc<RwLock<State<K>>>,
    synced: watch::Receiver<bool>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), synced: self.synced.clone() }
    }
}

struct State<K> {
    objects: BTreeMap<Key, Arc<K>>,
    indexes: HashMap<&'static str, Index<K>>,
    subscribers: Vec<mpsc::UnboundedSender<Change<K>>>,
}

struct Index<K> {
    values_of: Indexer<K>,
    keys: HashMap<String, HashSet<Key>>,
}

/// The built-in index by the UID of each owner reference.
const OWNER: &str = "owner";

impl<K: Object> Store<K> {
    /// An empty store, and the half that fills it.
    pub(crate) fn new() -> (Self, Writer<K>) {
        let (sender, synced) = watch::channel(false);
        let state = State { objects: BTreeMap::new(), indexes: HashMap::new(), subscribers: Vec::new() };
        let store = Self { state: Arc::new(RwLock::new(state)), synced };
        store.add_index(OWNER, |object: &K| {
            object.meta().owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect()
        });
        (store.clone(), Writer { state: store.state, synced: sender })
    }

    /// A store that nobody fills but the caller: for tests of what reads stores.
    pub fn fixed(objects: impl IntoIterator<Item = K>) -> Self {
        let (store, writer) = Self::new();
        writer.replace(objects.into_iter().collect());
        store
    }

    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.state.read().objects.get(key).cloned()
    }

    /// All objects, by key.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.state.read().objects.values().cloned().collect()
    }

    /// All objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let state = self.state.read();
        let first = Key::new(namespace, "");
        state
            .objects
            .range(first..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// The objects that name `uid` among their owners.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<K>> {
        self.by_index(OWNER, uid)
    }

    /// The objects for which the index gives `value`; none if there is no such index.
    pub fn by_index(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        let state = self.state.read();
        let Some(keys) = state.indexes.get(index).and_then(|index| index.keys.get(value)) else {
            return Vec::new();
        };
        let mut found: Vec<_> =
            keys.iter().filter_map(|key| Some((key, state.objects.get(key)?.clone()))).collect();
        found.sort_by(|a, b| a.0.cmp(b.0));
        found.into_iter().map(|(_, object)| object).collect()
    }

    /// Adds an index, also over what is there already; the first index of a name stays.
    pub fn add_index(
        &self,
        name: &'static str,
        values_of: impl Fn(&K) -> Vec<String> + Send + Sync + 'static,
    ) {
        let mut state = self.state.write();
        if state.indexes.contains_key(name) {
            return;
        }
        let mut index = Index { values_of: Box::new(values_of), keys: HashMap::new() };
        for (key, object) in &state.objects {
            index.insert(key, object);
        }
        state.indexes.insert(name, index);
    }

    /// Every object that is there, then every change, without gap or repeat.
    pub fn subscribe(&self) -> Changes<K> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state.write();
        for object in state.objects.values() {
            // The receiver is in our hands, so that this cannot fail.
            let _ = sender.send(Change::Applied { old: None, new: object.clone() });
        }
        state.subscribers.push(sender);
        receiver
    }

    /// Returns once the first whole list has arrived; false if the informer ended before.
    pub async fn synced(&self) -> bool {
        self.synced.clone().wait_for(|synced| *synced).await.is_ok()
    }

    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }
}

impl<K> Index<K> {
    fn insert(&mut self, key: &Key, object: &K) {
        for value in (self.values_of)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        for value in (self.values_of)(object) {
            if let Some(keys) = self.keys.get_mut(&value) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&value);
                }
            }
        }
    }
}

/// The informer's half of a store.
pub(crate) struct Writer<K> {
    state: Arc<RwLock<State<K>>>,
    synced: watch::Sender<bool>,
}

impl<K: Object> Writer<K> {
    pub fn apply(&self, object: K) {
        self.state.write().apply(Key::of(&object), Arc::new(object));
    }

    pub fn delete(&self, object: K) {
        self.state.write().delete(&Key::of(&object), Some(Arc::new(object)));
    }

    /// Takes a whole list: what is not in it is gone, what has not changed is not told again.
    pub fn replace(&self, objects: Vec<K>) {
        let fresh: BTreeMap<Key, Arc<K>> =
            objects.into_iter().map(|object| (Key::of(&object), Arc::new(object))).collect();
        let mut state = self.state.write();
        let gone: Vec<Key> = state.objects.keys().filter(|key| !fresh.contains_key(key)).cloned().collect();
        for key in gone {
            state.delete(&key, None);
        }
        for (key, object) in fresh {
            if !state.objects.get(&key).is_some_and(|old| same_version(&**old, &*object)) {
                state.apply(key, object);
            }
        }
        drop(state);
        self.synced.send_replace(true);
    }
}

fn same_version<K: Resource>(a: &K, b: &K) -> bool {
    let (a, b) = (a.meta(), b.meta());
    a.resource_version.is_some() && a.resource_version == b.resource_version && a.uid == b.uid
}

impl<K> State<K> {
    fn apply(&mut self, key: Key, new: Arc<K>) {
        let old = self.objects.insert(key.clone(), new.clone());
        for index in self.indexes.values_mut() {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &new);
        }
        self.tell(Change::Applied { old, new });
    }

    /// `last` is the state at deletion where the server told it.
    fn delete(&mut self, key: &Key, last: Option<Arc<K>>) {
        let Some(old) = self.objects.remove(key) else { return };
        for index in self.indexes.values_mut() {
            index.remove(key, &old);
        }
        self.tell(Change::Deleted(last.unwrap_or(old)));
    }

    fn tell(&mut self, change: Change<K>) {
        // Whoever dropped its receiver no longer listens.
        self.subscribers.retain(|subscriber| subscriber.send(change.clone()).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;

    use super::*;

    fn map(name: &str, version: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            namespace: Some("n".into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn told(changes: &mut Changes<ConfigMap>) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(change) = changes.try_recv() {
            let (verb, object) = match &change {
                Change::Applied { old: None, new } => ("add", new),
                Change::Applied { new, .. } => ("change", new),
                Change::Deleted(last) => ("delete", last),
            };
            lines.push(format!("{verb} {}", Key::of(&**object)));
        }
        lines
    }

    #[test]
    fn a_relist_tells_only_what_changed() {
        let (store, writer) = Store::new();
        writer.replace(vec![map("a", "1"), map("b", "1"), map("c", "1")]);
        let mut changes = store.subscribe();
        assert_eq!(told(&mut changes), ["add n/a", "add n/b", "add n/c"]);
        writer.replace(vec![map("a", "1"), map("b", "2")]);
        assert_eq!(told(&mut changes), ["delete n/c", "change n/b"]);
    }

    #[test]
    fn indexes_follow_changes() {
        let (store, writer) = Store::new();
        writer.apply(map("a", "1"));
        store.add_index("version", |m: &ConfigMap| m.metadata.resource_version.iter().cloned().collect());
        assert_eq!(store.by_index("version", "1").len(), 1);
        writer.apply(map("a", "2"));
        assert_eq!((store.by_index("version", "1").len(), store.by_index("version", "2").len()), (0, 1));
        writer.delete(map("a", "3"));
        assert!(store.by_index("version", "2").is_empty() && store.list().is_empty());
    }
}
