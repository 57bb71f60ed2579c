//! Who owns which fields: what every write records in `metadata.managedFields`.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/{create,update,patch}.go, apimachinery/pkg/util/managedfields.

use api::apply::{self, FieldSet, Node, Versions, Writer};
use http::header;
use serde_json::{Value, json};

use super::{Call, WriteOptions};
use crate::media::header_text;
use crate::{object, strategy};

const LONGEST_MANAGER: usize = 128;

/// The writes of one request.
pub struct Ownership<'a> {
    call: &'a Call,
    manager: String,
    time: String,
    ignored: FieldSet,
}

impl<'a> Ownership<'a> {
    pub fn new(call: &'a Call, options: &WriteOptions) -> Self {
        let manager = match options.field_manager.as_str() {
            "" => manager_of_agent(header_text(&call.headers, header::USER_AGENT)),
            given => given.to_owned(),
        };
        let has_status = call.served.storage.as_ref().is_some_and(|storage| storage.has_status);
        let ignored = strategy::reset_fields(&call.resource(), has_status, &call.info.subresource);
        Self { call, manager, time: object::time(call.core.clock.now()), ignored }
    }

    pub fn with<T>(&self, work: impl FnOnce(&Writer<'_>) -> T) -> T {
        work(&Writer {
            node: Node::of_type(self.call.served.codec.type_ref()),
            api_version: &self.call.served.api_version(),
            subresource: &self.call.info.subresource,
            manager: &self.manager,
            time: &self.time,
            ignored: &self.ignored,
            versions: self,
        })
    }

    /// Records what `new` changes of `old`. Both are of the stored version.
    pub fn track(&self, old: Option<&Value>, new: &mut Value) {
        let served = &self.call.served;
        let nothing = json!({"apiVersion": new["apiVersion"], "kind": new["kind"]});
        let old = old.unwrap_or(&nothing);
        if served.is_stored_version() {
            return self.with(|writer| writer.track(old, new));
        }
        let old = served.to_served(old.clone());
        let mut seen = served.to_served(new.clone());
        self.with(|writer| writer.track(&old, &mut seen));
        keep_entries(new, &seen);
    }
}

/// Makes the entries of `object` those of `from`.
pub fn keep_entries(object: &mut Value, from: &Value) {
    object::metadata_mut(object);
    object::carry_over(&mut object["metadata"], &from["metadata"], &["managedFields"]);
}

/// Times of entries change only when something else does.
pub fn keep_times(object: &mut Value, old: &Value, is_same: impl FnOnce(&Value) -> bool) {
    if !apply::differ_in_time_only(object, old) {
        return;
    }
    let mut candidate = object.clone();
    keep_entries(&mut candidate, old);
    if is_same(&candidate) {
        *object = candidate;
    }
}

impl Versions for Ownership<'_> {
    fn convert(&self, object: &Value, api_version: &str) -> Option<(Node<'_>, Value)> {
        let served = &self.call.served;
        if let Some(kind) = &served.custom {
            // By the version alone: what a webhook would make of it is not asked for the sake of owners.
            let at = kind.definition.version(api_version)?;
            let mut object = object.clone();
            object["apiVersion"] = json!(api_version);
            let schema = &kind.definition.versions[at].schema;
            return Some((Node::of_type(schema.type_ref(schema.resources()[0].type_id)), object));
        }
        let (group, version) = api::split_api_version(api_version);
        let other = self.call.core.registry.find_builtin(group, version, &served.resource)?;
        let stored =
            if served.is_stored_version() { object.clone() } else { served.to_stored(object.clone()) };
        Some((Node::of_type(other.codec.type_ref()), other.to_served(stored)))
    }
}

/// The part of a User-Agent before the first slash, as upstream trims it.
fn manager_of_agent(agent: &str) -> String {
    let first = agent.split('/').next().unwrap_or("");
    let mut manager = String::new();
    for letter in first.chars().filter(|letter| !letter.is_control()) {
        if manager.len() + letter.len_utf8() > LONGEST_MANAGER {
            break;
        }
        manager.push(letter);
    }
    manager
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_the_agents_first_part() {
        assert_eq!(manager_of_agent("kubectl/v1.36 (linux/amd64)"), "kubectl");
        assert_eq!(manager_of_agent(""), "");
        assert_eq!(manager_of_agent(&"x".repeat(200)).len(), LONGEST_MANAGER);
    }
}
