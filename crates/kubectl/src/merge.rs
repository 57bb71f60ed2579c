//! Strategic merge patches made from objects: between two, or between what was applied, what is wanted and what is.
//!
//! Lists with a merge key are compared item by item; other lists are replaced as a whole.
//! Upstream: apimachinery/pkg/util/strategicpatch, jsonmergepatch.

use api::schema::{Field, Shape, TypeRef};
use serde_json::{Map, Value, json};

/// What turns `before` into `after`. Without a type, a JSON merge patch.
pub fn two_way(owner: Option<TypeRef<'_>>, before: &Value, after: &Value) -> Value {
    let patch = Differ { adds: true, deletes: true }.value(owner, before, after);
    patch.unwrap_or_else(|| json!({}))
}

/// What turns `current` into `wanted` and removes what `last` had and `wanted` lacks.
pub fn three_way(owner: Option<TypeRef<'_>>, last: &Value, wanted: &Value, current: &Value) -> Value {
    let adds = Differ { adds: true, deletes: false }.value(owner, current, wanted);
    let removes = Differ { adds: false, deletes: true }.value(owner, last, wanted);
    let mut patch = adds.unwrap_or_else(|| json!({}));
    if let Some(removes) = removes {
        combine(owner, &mut patch, removes);
    }
    patch
}

#[derive(Clone, Copy)]
struct Differ {
    adds: bool,
    deletes: bool,
}

impl Differ {
    fn value(self, owner: Option<TypeRef<'_>>, before: &Value, after: &Value) -> Option<Value> {
        let (Value::Object(before), Value::Object(after)) = (before, after) else {
            return (self.adds && before != after).then(|| after.clone());
        };
        let mut patch = Map::new();
        if self.deletes {
            let gone = before
                .keys()
                .filter(|name| after.get(*name).is_none_or(Value::is_null) && !before[*name].is_null());
            patch.extend(gone.map(|name| (name.clone(), Value::Null)));
        }
        for (name, wanted) in after.iter().filter(|(_, wanted)| !wanted.is_null()) {
            let field = owner.and_then(|owner| owner.field(name));
            match before.get(name).filter(|value| !value.is_null()) {
                None if self.adds => {
                    patch.insert(name.clone(), wanted.clone());
                }
                None => {}
                Some(known) => self.field(owner, field, name, known, wanted, &mut patch),
            }
        }
        (!patch.is_empty()).then_some(Value::Object(patch))
    }

    fn field(
        self,
        owner: Option<TypeRef<'_>>,
        field: Option<&Field>,
        name: &str,
        before: &Value,
        after: &Value,
        patch: &mut Map<String, Value>,
    ) {
        let strategy =
            |what: &str| field.is_some_and(|field| field.patch_strategy.iter().any(|own| own == what));
        match (before, after) {
            (Value::Array(old), Value::Array(new)) if strategy("merge") => {
                let key = field.map_or("", |field| &*field.merge_key);
                if key.is_empty() {
                    self.set(name, old, new, patch)
                } else {
                    self.list(owner, field, name, key, old, new, patch)
                }
            }
            (Value::Object(_), Value::Object(_)) => {
                if let Some(mut inner) = self.value(inner_type(owner, field), before, after) {
                    if strategy("retainKeys") && self.adds {
                        let keys: Vec<&String> = after.as_object().into_iter().flat_map(Map::keys).collect();
                        inner["$retainKeys"] = json!(keys);
                    }
                    patch.insert(name.to_owned(), inner);
                }
            }
            _ if self.adds && before != after => {
                patch.insert(name.to_owned(), after.clone());
            }
            _ => {}
        }
    }

    /// Lists of plain values that merge.
    fn set(self, name: &str, old: &[Value], new: &[Value], patch: &mut Map<String, Value>) {
        let missing = |from: &[Value], of: &[Value]| -> Vec<Value> {
            from.iter().filter(|item| !of.contains(item)).cloned().collect()
        };
        let (added, gone) = (missing(new, old), missing(old, new));
        if self.adds && !added.is_empty() {
            patch.insert(name.to_owned(), Value::Array(added));
        }
        if self.deletes && !gone.is_empty() {
            patch.insert(format!("$deleteFromPrimitiveList/{name}"), Value::Array(gone));
        }
        if self.adds && old != new && patch.contains_key(name) {
            patch.insert(format!("$setElementOrder/{name}"), Value::Array(new.to_vec()));
        }
    }

    fn list(
        self,
        owner: Option<TypeRef<'_>>,
        field: Option<&Field>,
        name: &str,
        key: &str,
        old: &[Value],
        new: &[Value],
        patch: &mut Map<String, Value>,
    ) {
        let item_type = item_type(owner, field);
        let mut items = Vec::new();
        for item in new {
            match old.iter().find(|known| known[key] == item[key]) {
                Some(known) => {
                    if let Some(mut change) = self.value(item_type, known, item) {
                        change[key] = item[key].clone();
                        items.push(change);
                    }
                }
                None if self.adds => items.push(item.clone()),
                None => {}
            }
        }
        if self.deletes {
            let gone = old.iter().filter(|known| new.iter().all(|item| item[key] != known[key]));
            items.extend(gone.map(|known| json!({"$patch": "delete", key: known[key]})));
        }
        let keys = |list: &[Value]| -> Vec<Value> { list.iter().map(|item| item[key].clone()).collect() };
        let is_reordered = self.adds
            && keys(old) != keys(new)
            && new.iter().any(|item| old.iter().any(|known| known[key] == item[key]));
        if items.is_empty() && !(is_reordered && old.len() == new.len()) {
            return;
        }
        if self.adds {
            let order: Vec<Value> = new.iter().map(|item| json!({key: item[key]})).collect();
            patch.insert(format!("$setElementOrder/{name}"), Value::Array(order));
        }
        if !items.is_empty() {
            patch.insert(name.to_owned(), Value::Array(items));
        }
    }
}

fn inner_type<'a>(owner: Option<TypeRef<'a>>, field: Option<&Field>) -> Option<TypeRef<'a>> {
    match field?.shape {
        Shape::Struct(id) => Some(owner?.inner(id)),
        _ => None,
    }
}

fn item_type<'a>(owner: Option<TypeRef<'a>>, field: Option<&Field>) -> Option<TypeRef<'a>> {
    let owner = owner?;
    match field?.shape {
        Shape::List(items) => match owner.schema.shape(items) {
            Shape::Struct(id) => Some(owner.inner(id)),
            _ => None,
        },
        _ => None,
    }
}

/// Puts removals into a patch of additions.
fn combine(owner: Option<TypeRef<'_>>, patch: &mut Value, removes: Value) {
    let (Value::Object(patch), Value::Object(removes)) = (patch, removes) else { return };
    for (name, remove) in removes {
        let field = owner.and_then(|owner| owner.field(&name));
        match (patch.get_mut(&name), remove) {
            (None, remove) => {
                patch.insert(name, remove);
            }
            (Some(known @ Value::Object(_)), remove @ Value::Object(_)) => {
                combine(inner_type(owner, field), known, remove)
            }
            (Some(Value::Array(known)), Value::Array(removed)) => {
                let key = field.map_or("", |field| &*field.merge_key);
                for item in removed {
                    match known.iter_mut().find(|own| !key.is_empty() && own[key] == item[key]) {
                        Some(own) if item.get("$patch").is_none() => {
                            combine(item_type(owner, field), own, item)
                        }
                        _ => known.push(item),
                    }
                }
            }
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(last: Value, wanted: Value, current: Value, want: Expect) {
        let owner = api::Schema::builtin().kind("apps", "v1", "Deployment");
        want.assert_eq(&three_way(owner, &last, &wanted, &current).to_string());
    }

    #[test]
    fn three_ways_meet() {
        let labels = |labels: Value| json!({"metadata": {"labels": labels}});
        check(
            labels(json!({"a": "1", "b": "2"})),
            labels(json!({"a": "3"})),
            labels(json!({"a": "1", "b": "2", "c": "x"})),
            expect![[r#"{"metadata":{"labels":{"a":"3","b":null}}}"#]],
        );
        let containers = |list: Value| json!({"spec": {"template": {"spec": {"containers": list}}}});
        check(
            containers(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
            containers(json!([{"name": "a", "image": "2"}])),
            containers(
                json!([{"name": "a", "image": "1", "imagePullPolicy": "Always"}, {"name": "b", "image": "1"}]),
            ),
            expect![[
                r#"{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"image":"2","name":"a"},{"$patch":"delete","name":"b"}]}}}}"#
            ]],
        );
        let same = containers(json!([{"name": "a", "image": "1"}]));
        check(same.clone(), same.clone(), same, expect![["{}"]]);
    }
}
