//! How a value merges: what its schema says of it, or what it looks like where there is none.
//!
//! Upstream: structured-merge-diff, schema/elements.go; kube-openapi, schemaconv.

use serde_json::{Map, Value};

use super::element::{PathElement, Scalar};
use crate::codec::as_written;
use crate::defaults::constant_default;
use crate::schema::{Field, ListKind, Presence, Shape, Text, TypeRef};

/// A place in a schema.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a> {
    /// Fields by name.
    Struct(TypeRef<'a>),
    /// Any names, values of one shape. The type is where the shape is from.
    Map(TypeRef<'a>, Shape),
    /// Items told apart by `keys`.
    Keyed(TypeRef<'a>, Shape, &'a [Text]),
    /// Items told apart by their value.
    Set(TypeRef<'a>, Shape),
    /// Merges as a whole.
    Atomic,
    Scalar(Shape),
    /// Without a schema: objects merge by field, lists are atomic.
    Deduced,
}

/// Whose object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The server's: empty fields are there or not as they are written.
    Stored,
    /// A client's: what it says is there, and nothing else.
    Sent,
}

/// An entry of an object.
pub struct Child<'a, 'v> {
    pub name: &'v str,
    pub node: Node<'a>,
    pub value: Option<&'v Value>,
    /// The schema names it.
    pub declared: bool,
}

impl<'a> Node<'a> {
    pub fn of_type(owner: TypeRef<'a>) -> Self {
        match owner.is_either_or() {
            true => Self::Deduced,
            false if owner.get().is_atomic => Self::Atomic,
            false => Self::Struct(owner),
        }
    }

    fn of_field(owner: TypeRef<'a>, field: &'a Field) -> Self {
        match (field.shape, &field.list) {
            (Shape::List(_), ListKind::Atomic) => Self::Atomic,
            (Shape::List(id), ListKind::Set) => Self::Set(owner, owner.schema.shape(id)),
            (Shape::List(id), ListKind::Map(keys)) => Self::Keyed(owner, owner.schema.shape(id), keys),
            (Shape::Struct(_) | Shape::Map(_), _) if field.map_atomic => Self::Atomic,
            (shape, _) => Self::of_shape(owner, shape),
        }
    }

    fn of_shape(owner: TypeRef<'a>, shape: Shape) -> Self {
        match shape {
            Shape::Struct(id) => Self::of_type(owner.inner(id)),
            Shape::List(_) => Self::Atomic,
            Shape::Map(id) => Self::Map(owner, owner.schema.shape(id)),
            Shape::Raw | Shape::FieldsV1 | Shape::Json => Self::Deduced,
            scalar => Self::Scalar(scalar),
        }
    }

    /// The node of the field or map entry `name`; none if the schema has none.
    pub fn child(self, name: &str) -> Option<(Self, bool)> {
        match self {
            Self::Struct(owner) => match owner.field(name) {
                Some(field) => Some((Self::of_field(owner, field), true)),
                None => owner.get().is_open.then_some((Self::Deduced, false)),
            },
            Self::Map(owner, shape) => Some((Self::of_shape(owner, shape), false)),
            Self::Deduced => Some((Self::Deduced, false)),
            _ => None,
        }
    }

    /// The node of a list's items.
    pub fn item(self) -> Self {
        match self {
            Self::Keyed(owner, shape, _) | Self::Set(owner, shape) => Self::of_shape(owner, shape),
            _ => Self::Deduced,
        }
    }

    pub fn is_list(self) -> bool {
        matches!(self, Self::Keyed(..) | Self::Set(..))
    }

    /// What a deduced value turns out to be; others stay.
    pub fn seen(self, value: &Value) -> Self {
        match (self, value) {
            (Self::Deduced, Value::Object(_)) => self,
            (Self::Deduced, _) => Self::Atomic,
            (known, _) => known,
        }
    }

    /// The entries of an object that are there in this view.
    pub fn entries<'v>(self, value: &'v Value, view: View) -> Vec<Child<'a, 'v>>
    where
        'a: 'v,
    {
        let Value::Object(map) = value else { return Vec::new() };
        match (self, view) {
            (Self::Struct(owner), View::Stored) if !owner.get().is_open => written_fields(owner, map),
            _ => map
                .iter()
                .filter_map(|(name, value)| {
                    let (node, declared) = self.child(name)?;
                    Some(Child { name, node, value: Some(value), declared })
                })
                .collect(),
        }
    }

    /// The step that leads to `item` of a list.
    ///
    /// # Errors
    /// In upstream's words, when the item cannot be told apart from others.
    pub fn step_to(self, item: &Value) -> Result<PathElement, String> {
        match self {
            Self::Keyed(_, _, keys) => self.key_of(item, keys),
            _ => match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".into())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".into())
                }
                scalar => Ok(PathElement::Value(Scalar(scalar.clone()))),
            },
        }
    }

    fn key_of(self, item: &Value, keys: &[Text]) -> Result<PathElement, String> {
        let Value::Object(map) = item else {
            return Err(match item {
                Value::Null => "associative list with keys may not have a null element".into(),
                _ => "associative list with keys may not have non-map elements".into(),
            });
        };
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let value = map.get(&**key).filter(|value| !value.is_null()).cloned();
            let Some(value) = value.or_else(|| self.item().default_of(key)) else {
                return Err(format!(
                    "associative list with keys has an element that omits key field {key:?} (and doesn't have default \
                     value)"
                ));
            };
            found.push((Box::from(&**key), Scalar(value)));
        }
        found.sort();
        Ok(PathElement::Key(found))
    }

    /// What the field is when it is not said.
    fn default_of(self, name: &str) -> Option<Value> {
        let Self::Struct(owner) = self else { return None };
        let field = owner.field(name)?;
        if !field.default.is_empty() {
            // It was written from a value.
            return serde_json::from_str(&field.default).ok();
        }
        constant_default(owner, name).cloned().or_else(|| {
            let plain = !field.pointer && field.presence == Presence::Always;
            plain.then(|| as_written(field, None).cloned()).flatten()
        })
    }
}

fn written_fields<'a: 'v, 'v>(owner: TypeRef<'a>, map: &'v Map<String, Value>) -> Vec<Child<'a, 'v>> {
    owner
        .json_fields()
        .filter_map(|field| {
            let value = as_written(field, map.get(&*field.name))?;
            let node = Node::of_field(owner, field);
            Some(Child { name: &field.name, node, value: Some(value), declared: true })
        })
        .collect()
}
