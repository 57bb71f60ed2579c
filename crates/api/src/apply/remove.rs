//! An object without some of its fields and items.
//!
//! Upstream: structured-merge-diff, typed/remove.go.

use serde_json::Value;

use super::element::PathElement;
use super::node::Node;
use super::set::FieldSet;

/// Takes what `paths` names, with all that is below. What is emptied by it goes too.
pub fn remove(node: Node<'_>, value: &Value, paths: &FieldSet) -> Value {
    match (node.seen(value), value) {
        (Node::Scalar(_), value) => value.clone(),
        (list, Value::Array(items)) if list.is_list() => kept_items(list, items, paths),
        (Node::Struct(_) | Node::Map(..) | Node::Deduced, Value::Object(_)) => {
            kept_entries(node, value, paths)
        }
        _ => Value::Null,
    }
}

fn kept_items(node: Node<'_>, items: &[Value], paths: &FieldSet) -> Value {
    let kept = items.iter().filter_map(|item| {
        // An item without a step is not named by any path.
        match node.step_to(item).ok().and_then(|step| paths.get(&step)) {
            None => Some(item.clone()),
            Some(branch) if branch.member => None,
            Some(branch) => Some(remove(node.item(), item, &branch.below)),
        }
    });
    null_if_empty(kept.collect())
}

fn null_if_empty(items: Vec<Value>) -> Value {
    if items.is_empty() { Value::Null } else { Value::Array(items) }
}

fn kept_entries(node: Node<'_>, value: &Value, paths: &FieldSet) -> Value {
    let mut kept = value.clone();
    let Some(map) = kept.as_object_mut() else { return kept };
    for (step, branch) in paths.iter() {
        let PathElement::Field(name) = step else { continue };
        if branch.member {
            map.remove(&**name);
        } else if let Some(inner) = map.get_mut(&**name) {
            let below = node.child(name).map_or(Node::Deduced, |(below, _)| below);
            match remove(below, inner, &branch.below) {
                Value::Null => map.remove(&**name),
                kept => map.insert(name.to_string(), kept),
            };
        }
    }
    if map.is_empty() { Value::Null } else { kept }
}
