//! A write as managedFields sees it: apply, and every other.
//!
//! Upstream: structured-merge-diff, merge/update.go; apimachinery/pkg/util/managedfields/internal.

use serde_json::Value;
use std::sync::LazyLock;

use super::check;
use super::collect::{field_set, with_named_fields};
use super::compare::{Comparison, compare};
use super::managed::{self, Managed};
use super::merge::merge;
use super::node::{Node, View};
use super::remove::remove;
use super::set::FieldSet;

/// What is never anybody's.
static NOBODYS: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of_fields(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
});

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object in other versions than the request's: managers keep the version that they wrote in.
pub trait Versions: Sync {
    /// None for versions that are not served any more.
    fn convert(&self, object: &Value, api_version: &str) -> Option<(Node<'_>, Value)>;
}

/// Who writes what as what.
pub struct Writer<'a> {
    pub node: Node<'a>,
    /// Of the request and of the objects.
    pub api_version: &'a str,
    pub subresource: &'a str,
    pub manager: &'a str,
    /// RFC 3339, whole seconds.
    pub time: &'a str,
    /// What this request cannot change, and so does not own.
    pub ignored: &'a FieldSet,
    pub versions: &'a dyn Versions,
}

/// A field that another manager has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// As messages name it.
    pub manager: String,
    pub path: String,
}

/// Why a configuration cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("metadata.managedFields must be nil")]
    HasManagedFields,
    #[error("failed to decode managed fields")]
    Unreadable,
    /// Not of its schema.
    #[error("{0}")]
    Malformed(String),
    #[error("conflicts with other managers")]
    Conflicts(Vec<Conflict>),
}

impl Writer<'_> {
    fn entry(&self, applied: bool, fields: FieldSet) -> Managed {
        let manager = if self.manager.is_empty() { "unknown" } else { self.manager };
        Managed {
            manager: manager.into(),
            applied,
            api_version: self.api_version.into(),
            subresource: self.subresource.into(),
            time: Some(self.time.into()),
            fields,
        }
    }

    /// Records in `new` what this write, which is no apply, changes of `live`.
    pub fn track(&self, live: &Value, new: &mut Value) {
        let mut entries = self.known(live, new);
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let changes = compare(self.node, live, new).without(self.ignored);
        self.take_from_others(live, new, &changes, &mut entries, None);
        let taken = changes.taken().difference(&NOBODYS);
        if !taken.is_empty() {
            let mut own = self.entry(false, taken);
            if let Some(at) = entries.iter().position(|entry| entry.is_same(&own)) {
                own.fields.absorb(entries.swap_remove(at).fields);
            }
            entries.push(own);
        }
        managed::cap(&mut entries);
        managed::encode(new, entries);
    }

    /// Clients may edit the entries, but not by accident, and not through subresources.
    fn known(&self, live: &Value, new: &Value) -> Vec<Managed> {
        // Entries that cannot be read are nobody's.
        let of_live = || managed::decode(live).unwrap_or_default();
        if !self.subresource.is_empty() {
            return of_live();
        }
        if managed::is_reset(new) {
            return Vec::new();
        }
        match managed::decode(new) {
            Some(entries) if !entries.is_empty() => entries,
            _ => of_live(),
        }
    }

    /// `live` with `config` applied.
    ///
    /// # Errors
    /// When `config` is not of its schema, or other managers have its fields and it is not forced.
    pub fn apply(&self, live: &Value, config: &Value, force: bool) -> Result<Value, ApplyError> {
        if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
            return Err(ApplyError::HasManagedFields);
        }
        if let Some(problems) = check::problems(self.node, config) {
            return Err(ApplyError::Malformed(problems));
        }
        let applied = match self.try_apply(live, config, force) {
            Err(ApplyError::Conflicts(_)) if self.owned_by_client(live, config) => {
                self.try_apply(live, config, true)
            }
            other => other,
        };
        applied.map(|object| self.with_last_applied(object, config))
    }

    fn try_apply(&self, live: &Value, config: &Value, force: bool) -> Result<Value, ApplyError> {
        let mut entries = managed::decode(live).ok_or(ApplyError::Unreadable)?;
        let mut merged = merge(self.node, live, config);
        if let Some(metadata) = merged["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let set = field_set(self.node, config, View::Sent).recursive_difference(self.ignored);
        let own = self.entry(true, set);
        let last = entries.iter().position(|entry| entry.is_same(&own)).map(|at| entries.swap_remove(at));
        entries.push(own.clone());
        let mut new = match last {
            Some(last) => self.prune(merged, &entries, &last),
            None => merged,
        };
        let changes = compare(self.node, live, &new).without(self.ignored);
        if !force {
            self.find_conflicts(live, &new, &changes, &entries, &own)?;
        }
        self.take_from_others(live, &new, &changes, &mut entries, Some(&own));
        for entry in entries.iter_mut().filter(|entry| entry.is_same(&own)) {
            entry.fields = entry.fields.difference(&NOBODYS);
        }
        entries.retain(|entry| !entry.fields.is_empty());
        managed::cap(&mut entries);
        managed::encode(&mut new, entries);
        Ok(new)
    }

    /// What changed as `entry`'s version sees it; none if that version is gone.
    fn changes_at(
        &self,
        api_version: &str,
        live: &Value,
        new: &Value,
        changes: &Comparison,
    ) -> Option<Comparison> {
        if api_version == self.api_version {
            return Some(changes.clone());
        }
        let (node, live) = self.versions.convert(live, api_version)?;
        let (_, new) = self.versions.convert(new, api_version)?;
        Some(compare(node, &live, &new).without(self.ignored))
    }

    fn find_conflicts(
        &self,
        live: &Value,
        new: &Value,
        changes: &Comparison,
        entries: &[Managed],
        own: &Managed,
    ) -> Result<(), ApplyError> {
        let mut conflicts = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.is_same(own)) {
            let Some(changes) = self.changes_at(&entry.api_version, live, new, changes) else { continue };
            let paths = entry.fields.intersection(&changes.taken()).paths();
            conflicts.extend(paths.into_iter().map(|path| Conflict { manager: entry.told(), path }));
        }
        if conflicts.is_empty() { Ok(()) } else { Err(ApplyError::Conflicts(conflicts)) }
    }

    /// Whoever changes a field has it. `own` keeps what it has.
    fn take_from_others(
        &self,
        live: &Value,
        new: &Value,
        changes: &Comparison,
        entries: &mut Vec<Managed>,
        own: Option<&Managed>,
    ) {
        entries.retain_mut(|entry| {
            if own.is_some_and(|own| own.is_same(entry)) {
                return !entry.fields.is_empty();
            }
            let Some(changes) = self.changes_at(&entry.api_version, live, new, changes) else { return false };
            entry.fields = entry.fields.difference(&changes.taken()).difference(&changes.removed);
            !entry.fields.is_empty()
        });
    }

    /// Removes what this manager applied last time, does not now, and nobody else has.
    fn prune(&self, merged: Value, entries: &[Managed], last: &Managed) -> Value {
        let own = entries.iter().find(|entry| entry.is_same(last));
        if own.is_some_and(|own| last.fields.difference(&own.fields).is_empty()) {
            return merged;
        }
        if last.api_version != self.api_version {
            // What an older version owned cannot be told in this one; it stays, as when that version is gone.
            return merged;
        }
        let node = self.node;
        let named = |set: &FieldSet| with_named_fields(node, set);
        let all = named(&field_set(node, &merged, View::Stored));
        let set_of = |value: &Value| named(&field_set(node, value, View::Stored));
        let last = named(&last.fields);
        let without_last = set_of(&remove(node, &merged, &last));
        let same_version = entries.iter().filter(|entry| entry.api_version == self.api_version);
        let owned = same_version.fold(FieldSet::new(), |all, entry| all.union(&entry.fields));
        let unowned = all.difference(&without_last.union(&named(&owned)));
        let with_owned = set_of(&remove(node, &merged, &unowned));
        remove(node, &merged, &all.difference(&with_owned).intersection(&last))
    }

    /// kubectl moving from client-side to server-side apply meets the fields that it set itself before.
    fn owned_by_client(&self, live: &Value, config: &Value) -> bool {
        let Some(last) = self.last_applied(live) else { return false };
        let Err(ApplyError::Conflicts(conflicts)) = self.try_apply(live, config, false) else { return false };
        let differs = compare(self.node, live, &last);
        let same = field_set(self.node, &last, View::Sent)
            .difference(&differs.taken())
            .difference(&differs.removed)
            .paths();
        conflicts.iter().all(|conflict| same.contains(&conflict.path))
    }

    fn last_applied(&self, live: &Value) -> Option<Value> {
        if self.manager != "kubectl" {
            return None;
        }
        let text = live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
        // An annotation that a client broke tells nothing.
        let last: Value = serde_json::from_str(text).ok()?;
        (last["apiVersion"] == self.api_version).then_some(last)
    }

    /// The annotation follows, so that client-side apply still works.
    fn with_last_applied(&self, mut object: Value, config: &Value) -> Value {
        if self.manager != "kubectl" || !object["metadata"]["annotations"][LAST_APPLIED].is_string() {
            return object;
        }
        let mut last = config.clone();
        if let Some(annotations) = last["metadata"]["annotations"].as_object_mut() {
            annotations.remove(LAST_APPLIED);
        }
        object["metadata"]["annotations"][LAST_APPLIED] = Value::String(format!("{last}\n"));
        object
    }
}
