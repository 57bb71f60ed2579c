//! What differs between two states of an object.
//!
//! Upstream: structured-merge-diff, typed/compare.go.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::element::PathElement;
use super::node::{Node, View};
use super::set::{Branch, FieldSet};

/// The differing paths.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
}

/// The same of one step.
#[derive(Default)]
struct Marks {
    removed: Branch,
    modified: Branch,
    added: Branch,
}

/// Compares two states as they are written.
pub fn compare(node: Node<'_>, old: &Value, new: &Value) -> Comparison {
    let marks = marks(node, Some(old), Some(new));
    Comparison { removed: marks.removed.below, modified: marks.modified.below, added: marks.added.below }
}

impl Comparison {
    /// Without what nobody owns.
    #[must_use]
    pub fn without(self, ignored: &FieldSet) -> Self {
        Self {
            removed: self.removed.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
            added: self.added.recursive_difference(ignored),
        }
    }

    /// What is new or different.
    pub fn taken(&self) -> FieldSet {
        self.modified.union(&self.added)
    }
}

impl Marks {
    fn add(&mut self, step: &PathElement, below: Self) {
        let pairs = [
            (&mut self.removed, below.removed),
            (&mut self.modified, below.modified),
            (&mut self.added, below.added),
        ];
        for (own, branch) in pairs {
            if !branch.is_empty() {
                own.below.add(step.clone(), branch);
            }
        }
    }

    /// The path itself came or went.
    fn came_or_went(&mut self, old: Option<&Value>, new: Option<&Value>) {
        self.added.member |= old.is_none();
        self.removed.member |= new.is_none();
    }
}

fn marks(node: Node<'_>, old: Option<&Value>, new: Option<&Value>) -> Marks {
    let mut marks = Marks::default();
    let kinds = [old, new].map(|value| value.map(|value| node.seen(value)));
    let known = kinds[1].or(kinds[0]).unwrap_or(Node::Atomic);
    match known {
        _ if matches!(
            kinds,
            [Some(Node::Deduced), Some(Node::Atomic)] | [Some(Node::Atomic), Some(Node::Deduced)]
        ) =>
        {
            entries(&mut marks, Node::Deduced, old, new);
            leaf(&mut marks, old, new);
        }
        Node::Atomic | Node::Scalar(_) => leaf(&mut marks, old, new),
        _ if is_bare(known, old) && is_bare(known, new) => leaf(&mut marks, old, new),
        list if list.is_list() => items(&mut marks, list, old, new),
        map => entries(&mut marks, map, old, new),
    }
    marks.came_or_went(old, new);
    marks
}

fn leaf(marks: &mut Marks, old: Option<&Value>, new: Option<&Value>) {
    marks.modified.member |= old.is_some() && new.is_some() && old != new;
}

/// Whether there is nothing to descend into.
fn is_bare(node: Node<'_>, value: Option<&Value>) -> bool {
    match (node, value) {
        (_, Some(Value::Array(items))) => items.is_empty(),
        (Node::Struct(_), Some(value @ Value::Object(_))) => node.entries(value, View::Stored).is_empty(),
        (_, Some(Value::Object(map))) => map.is_empty(),
        _ => true,
    }
}

fn entries<'a: 'v, 'v>(marks: &mut Marks, node: Node<'a>, old: Option<&'v Value>, new: Option<&'v Value>) {
    let children = |value: Option<&'v Value>| {
        value.map(|value| node.entries(value, View::Stored)).unwrap_or_default() // nothing has no entries
    };
    let (before, after) = (children(old), children(new));
    let later: BTreeMap<&str, &Value> =
        after.iter().filter_map(|child| child.value.map(|value| (child.name, value))).collect();
    let mut seen = BTreeSet::new();
    for child in &before {
        seen.insert(child.name);
        let next = later.get(child.name).copied();
        if next.is_some() && next == child.value {
            continue;
        }
        marks.add(&PathElement::field(child.name), self::marks(child.node, child.value, next));
    }
    for child in after.iter().filter(|child| !seen.contains(child.name)) {
        marks.add(&PathElement::field(child.name), self::marks(child.node, None, child.value));
    }
}

type ByStep<'v> = BTreeMap<PathElement, Vec<&'v Value>>;

fn by_step<'v>(node: Node<'_>, value: Option<&'v Value>) -> ByStep<'v> {
    let mut found = ByStep::new();
    for item in value.and_then(Value::as_array).into_iter().flatten() {
        // What cannot be told apart from others has no path.
        if let Ok(step) = node.step_to(item) {
            found.entry(step).or_default().push(item);
        }
    }
    found
}

fn items(marks: &mut Marks, node: Node<'_>, old: Option<&Value>, new: Option<&Value>) {
    let (before, after) = (by_step(node, old), by_step(node, new));
    let none = Vec::new();
    for (step, olds) in &before {
        let news = after.get(step).unwrap_or(&none);
        marks.add(step, item_marks(node, olds, news));
    }
    for (step, news) in after.iter().filter(|(step, _)| !before.contains_key(step)) {
        marks.add(step, item_marks(node, &none, news));
    }
}

/// Items that stand there twice count as one that cannot be looked into.
fn item_marks(node: Node<'_>, olds: &[&Value], news: &[&Value]) -> Marks {
    match (olds, news) {
        ([] | [_], [] | [_]) => marks(node.item(), olds.first().copied(), news.first().copied()),
        ([_, _, ..], [_, _, ..]) => {
            let mut marks = Marks::default();
            marks.modified.member = olds != news;
            marks
        }
        ([_, _, ..], _) => {
            let mut found =
                news.first().map_or_else(Marks::default, |new| marks(node.item(), None, Some(new)));
            found.removed.member = true;
            found
        }
        (_, _) => {
            let mut found =
                olds.first().map_or_else(Marks::default, |old| marks(node.item(), Some(old), None));
            found.added.member = true;
            found
        }
    }
}
