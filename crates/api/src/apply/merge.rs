//! A client's configuration laid over the live object.
//!
//! Upstream: structured-merge-diff, typed/merge.go.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::PathElement;
use super::node::Node;

/// `live` with everything that `config` says. Lists of `config` were checked before: its items have steps, each once.
pub fn merge(node: Node<'_>, live: &Value, config: &Value) -> Value {
    merge_values(node, Some(live), Some(config)).unwrap_or(Value::Null)
}

fn merge_values(node: Node<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    let node = match config.or(live) {
        Some(value) => node.seen(value),
        None => return None,
    };
    let whole = || config.or(live).cloned();
    match (node, config) {
        (_, None) => live.cloned(),
        (Node::Atomic | Node::Scalar(_), _) => whole(),
        (list, _) if list.is_list() => {
            let lists =
                [live, config].map(|value| value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice));
            match lists {
                [[], []] => whole(),
                [live, config] => Some(Value::Array(merge_lists(list, live, config))),
            }
        }
        (map, _) => match [live, config].map(|value| value.and_then(Value::as_object)) {
            [Some(live), Some(config)] => Some(Value::Object(merge_maps(map, live, config))),
            // Null over a map takes nothing away.
            [Some(live), None] if config.is_some_and(Value::is_null) && !live.is_empty() => {
                Some(Value::Object(live.clone()))
            }
            _ => whole(),
        },
    }
}

fn merge_maps(node: Node<'_>, live: &Map<String, Value>, config: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, value) in config {
        let inner = node.child(name).map_or(Node::Deduced, |(inner, _)| inner);
        let new = merge_values(inner, live.get(name), Some(value));
        match new {
            Some(new) => merged.insert(name.clone(), new),
            None => merged.remove(name),
        };
    }
    merged
}

/// The items of one side with their steps.
struct Side<'v> {
    steps: Vec<PathElement>,
    items: Vec<&'v Value>,
    /// None where a step leads to several items.
    by_step: BTreeMap<PathElement, Option<&'v Value>>,
}

impl<'v> Side<'v> {
    fn of(node: Node<'_>, list: &'v [Value]) -> Self {
        let mut side = Self { steps: Vec::new(), items: Vec::new(), by_step: BTreeMap::new() };
        for item in list {
            // An old item without a step cannot be merged with anything; it goes.
            let Ok(step) = node.step_to(item) else { continue };
            side.by_step.entry(step.clone()).and_modify(|same| *same = None).or_insert(Some(item));
            side.steps.push(step);
            side.items.push(item);
        }
        side
    }

    fn get(&self, step: &PathElement) -> Option<&'v Value> {
        self.by_step.get(step).copied().flatten()
    }
}

/// Items that both have come in the configuration's order; live ones keep their place among them.
fn merge_lists(node: Node<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    let (live, config) = (Side::of(node, live), Side::of(node, config));
    let mut shared = config.steps.iter().filter(|step| live.by_step.contains_key(step)).peekable();
    let mut merged_steps: Vec<&PathElement> = Vec::new();
    let mut out = Vec::with_capacity(live.steps.len().max(config.steps.len()));
    let item = |step: &PathElement| merge_values(node.item(), live.get(step), config.get(step));
    let (mut l, mut c) = (0, 0);
    while l < live.steps.len() || c < config.steps.len() {
        if let (Some(ours), Some(theirs)) = (live.steps.get(l), config.steps.get(c)) {
            if ours == theirs {
                out.extend(item(theirs));
                merged_steps.push(theirs);
                (l, c) = (l + 1, c + 1);
                shared.next();
                continue;
            }
            let waits = config.by_step.contains_key(ours) && shared.peek().is_some_and(|next| *next != ours);
            if waits {
                l += 1;
                continue;
            }
        }
        if let Some(ours) = live.steps.get(l) {
            if !config.by_step.contains_key(ours) {
                out.push(live.items[l].clone());
                l += 1;
                continue;
            }
            if merged_steps.contains(&ours) {
                l += 1;
            }
        }
        if let Some(theirs) = config.steps.get(c) {
            out.extend(item(theirs));
            merged_steps.push(theirs);
            c += 1;
            shared.next_if(|next| *next == theirs);
        }
    }
    out
}
