//! The types that expressions are checked with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Nothing is known before it is evaluated.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    /// The type of types.
    Type,
    List(Arc<Type>),
    Map(Arc<Type>, Arc<Type>),
    Optional(Arc<Type>),
    Object(Arc<ObjectType>),
    /// Of a library: `kubernetes.Quantity`.
    Named(&'static str),
    /// Of a function's signature.
    Param(char),
}

/// A struct with known fields.
#[derive(Debug, Default)]
pub struct ObjectType {
    pub name: String,
    /// By the name in expressions: the name in JSON, and the type.
    pub fields: BTreeMap<String, (String, Type)>,
}

impl PartialEq for ObjectType {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}

impl Type {
    pub fn list(of: Type) -> Self {
        Self::List(Arc::new(of))
    }

    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    pub fn optional(of: Type) -> Self {
        Self::Optional(Arc::new(of))
    }

    /// An object with fields of the same names in JSON.
    pub fn object(name: &str, fields: &[(&str, Type)]) -> Self {
        let fields =
            fields.iter().map(|(name, kind)| ((*name).to_owned(), ((*name).to_owned(), kind.clone())));
        Self::Object(Arc::new(ObjectType { name: name.to_owned(), fields: fields.collect() }))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::Type => f.write_str("type"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::Object(object) => f.write_str(&object.name),
            Self::Named(name) => f.write_str(name),
            Self::Param(name) => write!(f, "{name}"),
        }
    }
}

/// What the letters of a signature stand for in one call.
#[derive(Debug, Default, Clone)]
pub(crate) struct Bindings(Vec<(char, Type)>);

impl Bindings {
    /// Whether a value of `found` may stand where `wanted` is.
    pub fn accepts(&mut self, wanted: &Type, found: &Type) -> bool {
        match (wanted, found) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Param(name), found) => {
                match self.0.iter().find(|(own, _)| own == name).map(|(_, t)| t.clone()) {
                    None => {
                        self.0.push((*name, found.clone()));
                        true
                    }
                    Some(bound) if contains_dyn(&bound) => {
                        let fits = self.accepts(&bound, found);
                        if fits {
                            self.0
                                .iter_mut()
                                .filter(|(own, _)| own == name)
                                .for_each(|slot| slot.1 = found.clone());
                        }
                        fits
                    }
                    Some(bound) => self.accepts(&bound, found),
                }
            }
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.accepts(a, b),
            (Type::Map(a, b), Type::Map(c, d)) => self.accepts(a, c) && self.accepts(b, d),
            (Type::Object(_) | Type::Timestamp | Type::Duration | Type::Optional(_), Type::Null) => true,
            (Type::Null, Type::Object(_) | Type::Timestamp | Type::Duration | Type::Optional(_)) => true,
            (wanted, found) => wanted == found,
        }
    }

    /// The type with its letters replaced.
    pub fn resolve(&self, of: &Type) -> Type {
        match of {
            Type::Param(name) => {
                self.0.iter().find(|(own, _)| own == name).map_or(Type::Dyn, |(_, bound)| bound.clone())
            }
            Type::List(of) => Type::list(self.resolve(of)),
            Type::Optional(of) => Type::optional(self.resolve(of)),
            Type::Map(key, value) => Type::map(self.resolve(key), self.resolve(value)),
            plain => plain.clone(),
        }
    }
}

fn contains_dyn(of: &Type) -> bool {
    match of {
        Type::Dyn => true,
        Type::List(of) | Type::Optional(of) => contains_dyn(of),
        Type::Map(key, value) => contains_dyn(key) || contains_dyn(value),
        _ => false,
    }
}
