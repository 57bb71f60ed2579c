//! The field set of an object, and what else of sets needs the schema.
//!
//! Upstream: structured-merge-diff, typed/tofieldset.go; fieldpath/set.go, `EnsureNamedFieldsAreMembers`.

use serde_json::Value;

use super::element::PathElement;
use super::node::{Child, Node, View};
use super::set::{Branch, FieldSet};

/// Every path that `value` says something about.
pub fn field_set(node: Node<'_>, value: &Value, view: View) -> FieldSet {
    branch(node, value, view).below
}

fn branch(node: Node<'_>, value: &Value, view: View) -> Branch {
    match node.seen(value) {
        Node::Atomic | Node::Scalar(_) => Branch { member: true, below: FieldSet::new() },
        list if list.is_list() => Branch { member: false, below: items(list, value, view) },
        map => Branch { member: false, below: entries(map, value, view) },
    }
}

fn entries(node: Node<'_>, value: &Value, view: View) -> FieldSet {
    let mut set = FieldSet::new();
    for Child { name, node, value, declared } in node.entries(value, view) {
        let Some(value) = value else { continue };
        let mut below = branch(node, value, view);
        let says_nothing = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        below.member |= says_nothing || !declared;
        set.add(PathElement::field(name), below);
    }
    set
}

fn items(node: Node<'_>, value: &Value, view: View) -> FieldSet {
    let mut set = FieldSet::new();
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    // What cannot be told apart was refused before, or is the server's own old object: it has no path.
    let steps: Vec<Option<PathElement>> = items.iter().map(|item| node.step_to(item).ok()).collect();
    for (at, (item, step)) in items.iter().zip(&steps).enumerate() {
        let Some(step) = step else { continue };
        let twice = steps.iter().enumerate().any(|(other, same)| other != at && same.as_ref() == Some(step));
        let below = if twice { FieldSet::new() } else { branch(node.item(), item, view).below };
        set.add(step.clone(), Branch { member: true, below });
    }
    set
}

/// The set with every declared field that leads to a path in it.
pub fn with_named_fields(node: Node<'_>, set: &FieldSet) -> FieldSet {
    let mut all = FieldSet::new();
    for (step, branch) in set.iter() {
        let (inner, declared) = match step {
            PathElement::Field(name) => node.child(name).unwrap_or((Node::Deduced, false)),
            _ => (node.item(), false),
        };
        let member = branch.member || declared;
        all.add(step.clone(), Branch { member, below: with_named_fields(inner, &branch.below) });
    }
    all
}
