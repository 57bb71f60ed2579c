//! `fieldsV1`: a field set as JSON.
//!
//! Upstream: structured-merge-diff, fieldpath/serialize.go.

use serde_json::{Map, Value};

use super::element::PathElement;
use super::set::{Branch, FieldSet};
use crate::codec::write_json_string;

/// Stands for the path that ends where others go on.
const SELF: &str = ".";

/// The set as a tree. Keys of a tree are sorted as text; [`write`] brings them into upstream's order.
pub fn encode(set: &FieldSet) -> Value {
    Value::Object(set.iter().map(|(step, branch)| (step.encoded(), encode_branch(branch))).collect())
}

fn encode_branch(branch: &Branch) -> Value {
    let mut value = encode(&branch.below);
    if branch.member
        && !branch.below.is_empty()
        && let Value::Object(map) = &mut value
    {
        map.insert(SELF.into(), Value::Object(Map::new()));
    }
    value
}

/// None if it is no field set.
pub fn decode(value: &Value) -> Option<FieldSet> {
    let mut set = FieldSet::new();
    for (key, below) in value.as_object()? {
        if key == SELF {
            continue;
        }
        let below_map = below.as_object()?;
        let member = below_map.is_empty() || below_map.contains_key(SELF);
        set.add(PathElement::decode(key)?, Branch { member, below: decode(below)? });
    }
    Some(set)
}

/// Writes a `fieldsV1` as upstream does: keys and values of lists in their own order, not in that of their text.
pub fn write(out: &mut Vec<u8>, value: &Value) {
    let Value::Object(map) = value else {
        out.extend_from_slice(value.to_string().as_bytes());
        return;
    };
    out.push(b'{');
    for (index, (key, below)) in in_order(map).into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_string(out, key);
        out.push(b':');
        write(out, below);
    }
    out.push(b'}');
}

fn in_order(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    // Fields sort as their text does, and come first.
    if entries.iter().filter(|(key, _)| is_item(key)).count() > 1 {
        entries.sort_by_cached_key(|(key, _)| PathElement::decode(key));
    }
    entries
}

fn is_item(key: &str) -> bool {
    !key.starts_with("f:") && key != SELF
}
