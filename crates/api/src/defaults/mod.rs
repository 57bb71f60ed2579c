//! What the server fills in where the client said nothing.
//!
//! The rules stand in the `.rules` files, parents before children. For every type it is known beforehand whether
//! anything below has defaults, so that a walk only goes where there is something to do.

pub(crate) mod functions;

#[cfg(test)]
mod tests;

use crate::rules::{self, Default};
use crate::schema::{Schema, Shape, TypeId, TypeRef};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// What is to do for objects of one type.
struct Plan {
    own: Vec<Step>,
    below: Vec<Below>,
}

enum Step {
    Constant { field: &'static str, value: Value, pointer: bool },
    Computed(fn(&mut Value)),
}

/// A field that leads to defaults.
struct Below {
    name: String,
    shape: Shape,
    /// A struct that is no pointer is there even when absent.
    plain: bool,
}

/// By type of the built-in schema.
static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| plans(Schema::builtin()));

/// Fills in all defaults of a built-in type. Other schemas have their defaults elsewhere: nothing happens.
pub fn apply_defaults(owner: TypeRef<'_>, value: &mut Value) {
    if std::ptr::eq(owner.schema, Schema::builtin()) {
        apply(owner.id, value);
    }
}

/// What a field is where it is not said, if that does not hang on anything else.
pub(crate) fn constant_default(owner: TypeRef<'_>, name: &str) -> Option<&'static Value> {
    if !std::ptr::eq(owner.schema, Schema::builtin()) {
        return None;
    }
    PLANS[owner.id.0 as usize].own.iter().find_map(|step| match step {
        Step::Constant { field, value, .. } if *field == name => Some(value),
        _ => None,
    })
}

fn apply(id: TypeId, value: &mut Value) {
    let plan = &PLANS[id.0 as usize];
    for step in &plan.own {
        match step {
            Step::Computed(function) => function(value),
            Step::Constant { field, value: constant, pointer } => set(value, field, constant, *pointer),
        }
    }
    let Some(fields) = value.as_object_mut() else { return };
    for below in &plan.below {
        descend(fields, below);
    }
}

fn set(object: &mut Value, field: &str, constant: &Value, pointer: bool) {
    let Some(fields) = object.as_object_mut() else { return };
    let unset = fields.get(field).is_none_or(|value| value.is_null() || (!pointer && is_zero(value)));
    if unset {
        fields.insert(field.to_owned(), constant.clone());
    }
}

/// Go's zero value, which stands for absent where the field is no pointer.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(flag) => !flag,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Null => true,
    }
}

fn descend(fields: &mut Map<String, Value>, below: &Below) {
    match fields.get_mut(&below.name) {
        Some(value) if !value.is_null() => apply_shape(below.shape, value),
        _ if below.plain => {
            let mut value = Value::Object(Map::new());
            apply_shape(below.shape, &mut value);
            if value.as_object().is_some_and(|filled| !filled.is_empty()) {
                fields.insert(below.name.clone(), value);
            }
        }
        _ => {}
    }
}

fn apply_shape(shape: Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Struct(id), value) => apply(id, value),
        (Shape::List(inner), Value::Array(items)) => {
            let inner = Schema::builtin().shape(inner);
            items.iter_mut().for_each(|item| apply_shape(inner, item));
        }
        (Shape::Map(inner), Value::Object(items)) => {
            let inner = Schema::builtin().shape(inner);
            items.values_mut().for_each(|item| apply_shape(inner, item));
        }
        _ => {}
    }
}

fn plans(schema: &'static Schema) -> Vec<Plan> {
    let own: Vec<Vec<Step>> = schema.types().map(steps).collect();
    let leads = leads_to_defaults(schema, &own);
    let below = schema.types().map(|owner| fields_below(owner, &leads));
    own.into_iter().zip(below).map(|(own, below)| Plan { own, below }).collect()
}

fn steps(owner: TypeRef<'_>) -> Vec<Step> {
    let step = |rule: &Default| match *rule {
        Default::Computed(function) => Step::Computed(function),
        Default::Constant { field, json, pointer } => {
            let value =
                serde_json::from_str(json).unwrap_or_else(|error| panic!("default of {field}: {error}"));
            Step::Constant { field, value, pointer }
        }
    };
    rules::defaults_of(&owner.get().package, owner.name()).iter().map(step).collect()
}

/// Which types have defaults, of their own or below. Types may contain themselves: repeat until it stands still.
fn leads_to_defaults(schema: &'static Schema, own: &[Vec<Step>]) -> Vec<bool> {
    let mut leads: Vec<bool> = own.iter().map(|steps| !steps.is_empty()).collect();
    loop {
        let mut grew = false;
        for owner in schema.types() {
            let at = owner.id.0 as usize;
            if !leads[at] && !fields_below(owner, &leads).is_empty() {
                leads[at] = true;
                grew = true;
            }
        }
        if !grew {
            return leads;
        }
    }
}

fn fields_below(owner: TypeRef<'_>, leads: &[bool]) -> Vec<Below> {
    let field = |field: &crate::schema::Field| {
        let id = struct_of(owner.schema, field.shape).filter(|id| leads[id.0 as usize])?;
        let plain = !field.pointer && field.shape == Shape::Struct(id);
        Some(Below { name: field.name.to_string(), shape: field.shape, plain })
    };
    owner.json_fields().filter_map(field).collect()
}

/// The struct at the end of lists and maps.
fn struct_of(schema: &Schema, shape: Shape) -> Option<TypeId> {
    match shape {
        Shape::Struct(id) => Some(id),
        Shape::List(inner) | Shape::Map(inner) => struct_of(schema, schema.shape(inner)),
        _ => None,
    }
}
