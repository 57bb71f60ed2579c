//! What all Services want together, and what changes when one of them changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::Key as ServiceKey;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use linux::net::nft::{Batch, Elements, Family, Key, Ruleset, Value, Verdict};

use crate::layout::{ENDPOINTS, INSIDE, INSIDE_ENDPOINTS, Layout, Method, SERVICES};
use crate::network::Network;
use crate::node::Facts;
use crate::rules::{Datagrams, Health, Wanted, wanted};

/// An element's map and key.
type Place = (&'static str, Key);
/// A method, and the map whose elements use it.
type UsedIn = (&'static str, Method);

/// One family's table as it should be.
pub struct Desired {
    layout: Layout,
    facts: Facts,
    owners: HashMap<ServiceKey, Owned>,
    /// Who wants an element; of several, the one whose name comes first has it.
    claims: HashMap<Place, Vec<(Arc<ServiceKey>, Value)>>,
    /// How many elements of a map use a method.
    methods: HashMap<UsedIn, usize>,
    change: Change,
}

#[derive(Default)]
struct Owned {
    claims: Vec<Place>,
    datagrams: Vec<Datagrams>,
    health: Option<Health>,
}

/// What has changed since the kernel was last told.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// What stood there before the first of the changes.
    elements: HashMap<Place, Option<Value>>,
    /// Whether somebody used them before.
    methods: BTreeMap<UsedIn, bool>,
    pub datagrams: bool,
    pub affinity: bool,
}

impl Desired {
    pub fn new(family: Family, pods: &[Network]) -> Self {
        let pods = pods.iter().copied().filter(|range| range.family() == family).collect();
        Self {
            layout: Layout { family, pods },
            facts: Facts::default(),
            owners: HashMap::new(),
            claims: HashMap::new(),
            methods: HashMap::new(),
            change: Change::default(),
        }
    }

    pub(crate) fn family(&self) -> Family {
        self.layout.family
    }

    /// True if every Service has to be looked at again.
    pub fn set_facts(&mut self, facts: Facts) -> bool {
        let changed = self.facts != facts;
        self.facts = facts;
        changed
    }

    /// Takes a Service as it is now; none if it is gone.
    pub fn set(&mut self, key: &ServiceKey, service: Option<&Service>, slices: &[Arc<EndpointSlice>]) {
        let wanted = service.map(|service| wanted(self.layout.family, &self.facts, service, slices));
        self.own(key, wanted.unwrap_or_default());
    }

    fn own(&mut self, owner: &ServiceKey, wanted: Wanted) {
        let old = self.owners.remove(owner).unwrap_or_default();
        self.change.datagrams |= old.datagrams != wanted.datagrams;
        let fresh: HashMap<Place, Value> =
            wanted.claims.into_iter().map(|(set, key, value)| ((set, key), value)).collect();
        let owned = Owned {
            claims: fresh.keys().cloned().collect(),
            datagrams: wanted.datagrams,
            health: wanted.health,
        };
        let shared = Arc::new(owner.clone());
        for place in old.claims.into_iter().filter(|place| !fresh.contains_key(place)) {
            self.claim(&shared, place, None);
        }
        for (place, value) in fresh {
            self.claim(&shared, place, Some(value));
        }
        if !owned.claims.is_empty() || owned.health.is_some() {
            self.owners.insert(owner.clone(), owned);
        }
    }

    fn claim(&mut self, owner: &Arc<ServiceKey>, place: Place, value: Option<Value>) {
        let claimants = self.claims.entry(place.clone()).or_default();
        let before = claimants.first().map(|(_, value)| value.clone());
        claimants.retain(|(other, _)| other != owner);
        if let Some(value) = value {
            let at = claimants.partition_point(|(other, _)| other < owner);
            claimants.insert(at, (owner.clone(), value));
        }
        let after = claimants.first().map(|(_, value)| value.clone());
        if claimants.is_empty() {
            self.claims.remove(&place);
        }
        if before != after {
            self.count(place.0, before.as_ref(), after.as_ref());
            self.change.elements.entry(place).or_insert(before);
        }
    }

    fn count(&mut self, set: &'static str, before: Option<&Value>, after: Option<&Value>) {
        self.change.affinity |= (set == ENDPOINTS || set == INSIDE_ENDPOINTS) && before.is_some();
        for (value, step) in [(before, -1), (after, 1)] {
            let Some(method) = value.and_then(|value| method(set, value)) else { continue };
            let uses = self.methods.entry((set, method)).or_default();
            self.change.methods.entry((set, method)).or_insert(*uses > 0);
            *uses = uses.wrapping_add_signed(step);
            if *uses == 0 {
                self.methods.remove(&(set, method));
            }
        }
    }

    fn value(&self, place: &Place) -> Option<&Value> {
        Some(&self.claims.get(place)?.first()?.1)
    }

    /// The whole table.
    pub fn ruleset(&self) -> Ruleset {
        let mut ruleset = self.layout.ruleset();
        for (map, method) in self.methods.keys() {
            ruleset.chains.insert(method.chain(map), self.layout.method_chain(*method, map));
        }
        for ((set, key), claimants) in &self.claims {
            if let Some((_, value)) = claimants.first() {
                ruleset.insert(set, key.clone(), value.clone());
            }
        }
        ruleset
    }

    /// Takes what has changed since the last time.
    pub(crate) fn take_change(&mut self) -> Change {
        std::mem::take(&mut self.change)
    }

    /// Writes a change as transaction. The kernel must hold what stood there before.
    pub(crate) fn write(&self, change: &Change, batch: &mut Batch<'_>) {
        let (old, new) = self.elements(change);
        let (gone, come) = self.methods(change);
        for (map, method) in &come {
            batch.add_chain(&method.chain(map), None);
            batch.set_rules(&method.chain(map), &self.layout.method_chain(*method, map));
        }
        old.iter().for_each(|(set, elements)| batch.delete_elements(set, elements.keys()));
        new.iter().for_each(|(set, elements)| batch.add_elements(set, elements));
        for (map, method) in &gone {
            batch.flush_chain(&method.chain(map));
            batch.delete_chain(&method.chain(map));
        }
    }

    /// What has to go and what has to come.
    pub(crate) fn elements(&self, change: &Change) -> (Elements, Elements) {
        let (mut old, mut new) = (Elements::new(), Elements::new());
        let note = |list: &mut Elements, (set, key): &Place, value: &Value| {
            list.entry(set).or_default().insert(key.clone(), value.clone());
        };
        for (place, before) in &change.elements {
            let after = self.value(place);
            if before.as_ref() != after {
                before.iter().for_each(|value| note(&mut old, place, value));
                after.iter().for_each(|value| note(&mut new, place, value));
            }
        }
        (old, new)
    }

    /// Methods that nobody uses any more, and those that nobody used before.
    fn methods(&self, change: &Change) -> (Vec<UsedIn>, Vec<UsedIn>) {
        let now = |method: &UsedIn| self.methods.contains_key(method);
        let with = |was: bool| change.methods.iter().filter(move |(_, used)| **used == was).map(|(m, _)| *m);
        (with(true).filter(|m| !now(m)).collect(), with(false).filter(now).collect())
    }

    /// Whether any client keeps its endpoint.
    pub(crate) fn has_affinity(&self) -> bool {
        self.methods.keys().any(|(_, method)| method.affinity_s > 0)
    }

    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &Datagrams> {
        self.owners.values().flat_map(|owned| &owned.datagrams)
    }

    pub(crate) fn health(&self) -> BTreeMap<ServiceKey, Health> {
        let asked = self.owners.iter().filter_map(|(key, owned)| Some((key.clone(), owned.health.clone()?)));
        asked.collect()
    }

    /// Whether a client still may keep this endpoint: the affinity map's key and value.
    pub(crate) fn may_keep(&self, key: &Key, endpoint: &Value) -> bool {
        let frontend = Key { start: key.start[self.layout.width() as usize..].to_vec(), end: None };
        let kept = |map| {
            let at = |number| self.value(&(map, frontend.clone().number(number)));
            (0..).map_while(at).any(|kept| kept == endpoint)
        };
        kept(ENDPOINTS) || kept(INSIDE_ENDPOINTS)
    }
}

#[cfg(test)]
impl Change {
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }
}

fn method(set: &str, value: &Value) -> Option<Method> {
    match value {
        Value::Verdict(Verdict::Goto(chain)) if set == SERVICES || set == INSIDE => Method::of(chain, set),
        _ => None,
    }
}
