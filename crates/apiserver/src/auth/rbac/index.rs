//! Roles and bindings, kept by subject, so that a decision looks at a user's own bindings only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;

use super::Rule;
use crate::auth::{Change, UserInfo, fields, name};

/// A role's rules and why a user has them.
#[derive(Clone, Debug)]
pub struct Grant {
    pub rules: Arc<Vec<Rule>>,
    /// `ClusterRoleBinding "b" of ClusterRole "r" to Group "g"`
    pub origin: Arc<str>,
}

/// All roles and bindings. Clones share it.
#[derive(Clone, Default)]
pub struct Index(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    /// By namespace (empty: ClusterRole) and name.
    roles: HashMap<RoleKey, Role>,
    /// By subject, then by namespace (empty: ClusterRoleBinding) and name.
    grants: HashMap<Subject, BTreeMap<RoleKey, Bound>>,
    /// The subjects of each binding, to take it out again.
    subjects: HashMap<RoleKey, Vec<Subject>>,
}

type RoleKey = (String, String);

struct Role {
    /// Of an aggregated role the union of those it selects, whether or not a controller has written it down yet.
    rules: Arc<Vec<Rule>>,
    labels: Value,
    aggregation: Vec<Value>,
}

/// A service account is the user that its tokens name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

struct Bound {
    role: RoleKey,
    origin: Arc<str>,
}

/// Which of the four resources a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Role,
    Binding,
}

impl Index {
    /// Takes in what a watch delivers.
    pub fn apply(&self, kind: Kind, change: &Change) {
        let mut state = self.0.write();
        match (kind, change) {
            (Kind::Role, Change::Put(object)) => state.put_role(object),
            (Kind::Role, Change::Delete(object)) => {
                state.roles.remove(&key(object));
                state.aggregate();
            }
            (Kind::Binding, Change::Put(object)) => state.put_binding(object),
            (Kind::Binding, Change::Delete(object)) => state.remove_binding(&key(object)),
            (_, Change::Synced) => {}
        }
    }

    /// Everything that `user` holds in `namespace`; cluster-wide only when that is empty.
    pub fn grants(&self, user: &UserInfo, namespace: &str) -> Vec<Grant> {
        let state = self.0.read();
        let mut grants = Vec::new();
        let subjects = std::iter::once(Subject::User(user.name.clone()))
            .chain(user.groups.iter().map(|group| Subject::Group(group.clone())));
        for bound in subjects.filter_map(|subject| state.grants.get(&subject)) {
            let here = |key: &RoleKey| key.0.is_empty() || key.0 == namespace;
            for (_, bound) in bound.iter().filter(|(key, _)| here(key)) {
                let rules = state.rules(&bound.role);
                grants.extend(rules.map(|rules| Grant { rules, origin: bound.origin.clone() }));
            }
        }
        grants
    }

    /// The rules of a role; of a ClusterRole when `namespace` is empty. None if there is no such role.
    pub fn role(&self, namespace: &str, name: &str) -> Option<Arc<Vec<Rule>>> {
        self.0.read().rules(&(namespace.to_owned(), name.to_owned()))
    }
}

impl State {
    fn put_role(&mut self, object: &Value) {
        let role = Role {
            rules: Arc::new(Rule::of(object)),
            labels: object["metadata"]["labels"].clone(),
            aggregation: fields::list(object, "/aggregationRule/clusterRoleSelectors").to_vec(),
        };
        self.roles.insert(key(object), role);
        self.aggregate();
    }

    /// Roles change so seldom that all few aggregated ones are made anew.
    fn aggregate(&mut self) {
        let aggregated = self.roles.iter().filter(|(_, role)| !role.aggregation.is_empty());
        let unions: Vec<(RoleKey, Vec<Rule>)> =
            aggregated.map(|(key, role)| (key.clone(), self.union(&role.aggregation))).collect();
        for (key, union) in unions {
            if let Some(role) = self.roles.get_mut(&key) {
                role.rules = Arc::new(union);
            }
        }
    }

    /// A role that aggregates may itself be selected: its own sources are then followed, too.
    fn union(&self, selectors: &[Value]) -> Vec<Rule> {
        let mut rules = Vec::new();
        let (mut pending, mut seen) = (selectors.to_vec(), HashSet::new());
        while let Some(selector) = pending.pop() {
            for (key, role) in
                self.roles.iter().filter(|(key, role)| key.0.is_empty() && selects(&selector, &role.labels))
            {
                if !seen.insert(key) {
                    continue;
                }
                match role.aggregation.is_empty() {
                    true => rules.extend(role.rules.iter().cloned()),
                    false => pending.extend(role.aggregation.iter().cloned()),
                }
            }
        }
        rules
    }

    fn rules(&self, key: &RoleKey) -> Option<Arc<Vec<Rule>>> {
        self.roles.get(key).map(|role| role.rules.clone())
    }

    fn put_binding(&mut self, object: &Value) {
        let key = key(object);
        self.remove_binding(&key);
        let (kind, role) = (fields::text(object, "/roleRef/kind"), fields::text(object, "/roleRef/name"));
        let role_namespace = if kind == "ClusterRole" { "" } else { key.0.as_str() };
        let role_key = (role_namespace.to_owned(), role.to_owned());
        let binding = match key.0.as_str() {
            "" => format!("ClusterRoleBinding {:?}", key.1),
            namespace => format!("RoleBinding {:?}", format!("{}/{namespace}", key.1)),
        };
        for (subject, described) in
            fields::list(object, "/subjects").iter().filter_map(|s| subject(s, &key.0))
        {
            let origin = format!("{binding} of {kind} {role:?} to {described}").into();
            let bound = Bound { role: role_key.clone(), origin };
            self.grants.entry(subject.clone()).or_default().insert(key.clone(), bound);
            self.subjects.entry(key.clone()).or_default().push(subject);
        }
    }

    fn remove_binding(&mut self, key: &RoleKey) {
        for subject in self.subjects.remove(key).unwrap_or_default() {
            let Some(bound) = self.grants.get_mut(&subject) else { continue };
            bound.remove(key);
            if bound.is_empty() {
                self.grants.remove(&subject);
            }
        }
    }
}

fn key(object: &Value) -> RoleKey {
    (fields::namespace(object).to_owned(), fields::name(object).to_owned())
}

/// A subject of a binding in `namespace`, and how messages describe it.
fn subject(value: &Value, namespace: &str) -> Option<(Subject, String)> {
    let name = fields::text(value, "/name");
    match fields::text(value, "/kind") {
        "User" => Some((Subject::User(name.to_owned()), format!("User {name:?}"))),
        "Group" => Some((Subject::Group(name.to_owned()), format!("Group {name:?}"))),
        "ServiceAccount" => {
            let own = fields::text(value, "/namespace");
            let namespace = if own.is_empty() { namespace } else { own };
            let user = format!("{}{namespace}:{name}", name::SERVICE_ACCOUNT_PREFIX);
            (!namespace.is_empty())
                .then(|| (Subject::User(user), format!("ServiceAccount {:?}", format!("{name}/{namespace}"))))
        }
        _ => None,
    }
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let matching = |key: &String, value: &Value| labels.get(key) == Some(value);
    let by_label = selector["matchLabels"].as_object();
    by_label.is_none_or(|wanted| wanted.iter().all(|(key, value)| matching(key, value)))
        && fields::list(selector, "/matchExpressions").iter().all(|expression| holds(expression, labels))
}

/// One requirement of a label selector.
fn holds(expression: &Value, labels: &Value) -> bool {
    let value = labels.get(fields::text(expression, "/key")).and_then(Value::as_str);
    let listed = || value.is_some_and(|value| fields::texts(expression, "/values").any(|v| v == value));
    match fields::text(expression, "/operator") {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
