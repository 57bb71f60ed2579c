//! The hand-written overlay of the API descriptions as static tables: names, columns, selectable
//! fields, defaults, checks, what may not change. Compiled from `schema/**/*.rules` by build/rules.rs,
//! which also describes the language.

use crate::access::Access;
use crate::field_errors::{FieldErrorKind, FieldErrors, Path};
use crate::schema::{ResourceRef, Schema};
use crate::table::cells::Cell;
use crate::validate::metadata::NameRule;
use serde_json::Value;

/// What a `.rules` file says of its group and version.
pub struct PackageRules {
    /// `core/v1`, the path of the file.
    pub package: &'static str,
    pub resources: &'static [ResourceRules],
    /// By type.
    pub defaults: &'static [(&'static str, &'static [Default])],
    /// By kind.
    pub checks: &'static [(&'static str, &'static [Check])],
    /// By kind, for new objects only.
    pub created: &'static [(&'static str, &'static [Check])],
    /// By kind.
    pub frozen: &'static [(&'static str, &'static [Frozen])],
}

pub struct ResourceRules {
    pub plural: &'static str,
    /// Empty where it is the kind in lower case.
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    /// What the names of its objects must be.
    pub name: NameRule,
    /// Besides metadata.name and metadata.namespace, which all have.
    pub selectable: &'static [Selectable],
    pub columns: &'static [Column],
}

/// A field that `--field-selector` knows.
pub struct Selectable {
    pub label: &'static str,
    pub path: &'static str,
    /// What a field that is not there counts as.
    pub absent: &'static str,
}

impl Selectable {
    /// The field's value as a selector compares it.
    pub fn value(&self, object: &Value) -> String {
        match object.at(self.path) {
            None => self.absent.to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

pub struct Column {
    pub name: &'static str,
    pub kind: &'static str,
    pub format: &'static str,
    /// Shown with `-o wide` only: priority 1.
    pub wide: bool,
    pub source: Source,
}

#[derive(Clone, Copy)]
pub enum Source {
    Path(&'static str),
    Computed(Cell),
}

#[derive(Clone, Copy)]
pub enum Default {
    /// `pointer`: an explicit zero is kept.
    Constant {
        field: &'static str,
        json: &'static str,
        pointer: bool,
    },
    Computed(fn(&mut Value)),
}

/// Checks an object of the kind.
pub type Check = fn(&Value, &Path<'_>, &mut FieldErrors);

#[derive(Clone, Copy)]
pub enum Frozen {
    Path {
        path: &'static str,
        kind: FieldErrorKind,
        text: &'static str,
    },
    /// New, old, subresource (empty for none).
    Computed(fn(&Value, &Value, &str, &mut FieldErrors)),
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));

fn package(name: &str) -> Option<&'static PackageRules> {
    PACKAGES.iter().find(|rules| rules.package == name)
}

/// The rules of a resource; none for custom ones.
pub fn of(resource: ResourceRef<'_>) -> Option<&'static ResourceRules> {
    let builtin = std::ptr::eq(resource.schema, Schema::builtin());
    builtin.then(|| of_resource(&resource.object().get().package, &resource.plural)).flatten()
}

/// `pod` of `pods`: the kind in lower case, with one exception.
pub fn singular(resource: ResourceRef<'_>) -> String {
    match of(resource).map(|rules| rules.singular) {
        Some(singular) if !singular.is_empty() => singular.to_owned(),
        _ => resource.kind.to_lowercase(),
    }
}

/// The rules of a built-in resource by its package, `core/v1`.
pub fn of_resource(package_name: &str, plural: &str) -> Option<&'static ResourceRules> {
    package(package_name)?.resources.iter().find(|rules| rules.plural == plural)
}

fn by_name<T>(table: &'static [(&'static str, &'static [T])], name: &str) -> &'static [T] {
    table.iter().find(|(key, _)| *key == name).map_or(&[], |(_, rules)| rules)
}

pub(crate) fn defaults_of(package_name: &str, type_name: &str) -> &'static [Default] {
    package(package_name).map_or(&[], |rules| by_name(rules.defaults, type_name))
}

pub(crate) fn checks_of(package_name: &str, kind: &str) -> &'static [Check] {
    package(package_name).map_or(&[], |rules| by_name(rules.checks, kind))
}

pub(crate) fn created_of(package_name: &str, kind: &str) -> &'static [Check] {
    package(package_name).map_or(&[], |rules| by_name(rules.created, kind))
}

pub(crate) fn frozen_of(package_name: &str, kind: &str) -> &'static [Frozen] {
    package(package_name).map_or(&[], |rules| by_name(rules.frozen, kind))
}

#[cfg(test)]
mod tests;
