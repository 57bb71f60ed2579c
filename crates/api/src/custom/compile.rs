//! A custom schema as types and fields, for the engines that work on those.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::structural::{Additional, Structural};
use crate::schema::{
    Field, ListKind, Presence, Resource, Schema, Shape, ShapeId, Subresource, Text, Texts, Type, TypeId,
};

/// What a custom kind is called.
#[derive(Debug, Clone, Default)]
pub struct KindNames {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
    /// `status`, `scale`.
    pub subresources: Vec<&'static str>,
}

/// The schema of one custom kind in one version: its type, the metadata's, and one resource.
pub fn compile(root: &Structural, names: &KindNames) -> Schema {
    let mut compiler = Compiler::default();
    let id = compiler.root(root, names);
    let scale = names.subresources.contains(&"scale").then(|| compiler.import("autoscaling/v1", "Scale"));
    let Compiler { types, shapes, .. } = compiler;
    let resource = resource(names, id, scale);
    let types: Vec<Type> = types.into_iter().map(|found| found.expect("every place is filled")).collect();
    Schema::new(types.into(), shapes.into(), Cow::Borrowed(&[]), vec![resource].into())
}

fn resource(names: &KindNames, id: TypeId, scale: Option<TypeId>) -> Resource {
    let verbs = |verbs: &'static [Text]| Cow::Borrowed(verbs);
    const SUB: &[Text] = &[Cow::Borrowed("get"), Cow::Borrowed("patch"), Cow::Borrowed("update")];
    const ALL: &[Text] = &[
        Cow::Borrowed("delete"),
        Cow::Borrowed("deletecollection"),
        Cow::Borrowed("get"),
        Cow::Borrowed("list"),
        Cow::Borrowed("patch"),
        Cow::Borrowed("create"),
        Cow::Borrowed("update"),
        Cow::Borrowed("watch"),
    ];
    let subresource = |name: &&'static str| Subresource {
        name: Cow::Borrowed(*name),
        verbs: verbs(SUB),
        kind: if *name == "scale" { scale } else { Some(id) },
    };
    Resource {
        group: names.group.clone().into(),
        version: names.version.clone().into(),
        plural: names.plural.clone().into(),
        kind: names.kind.clone().into(),
        type_id: id,
        namespaced: names.namespaced,
        verbs: verbs(ALL),
        subresources: names.subresources.iter().map(subresource).collect::<Vec<_>>().into(),
    }
}

#[derive(Default)]
struct Compiler {
    /// Filled once what a type holds is known.
    types: Vec<Option<Type>>,
    shapes: Vec<Shape>,
    imported: HashMap<TypeId, TypeId>,
}

impl Compiler {
    fn root(&mut self, root: &Structural, names: &KindNames) -> TypeId {
        let id = self.reserve();
        let metadata = Shape::Struct(self.import("meta/v1", "ObjectMeta"));
        let mut fields = vec![
            field("kind", Shape::String),
            field("apiVersion", Shape::String),
            field("metadata", metadata),
        ];
        let own = |name: &&String| !matches!(name.as_str(), "kind" | "apiVersion" | "metadata");
        for name in root.properties.keys().filter(own) {
            fields.push(self.field(root, name, &format!("{}.{name}", names.kind)));
        }
        let proto: String = names.group.split('.').rev().collect::<Vec<_>>().join(".") + "." + &names.version;
        self.types[id.0 as usize] = Some(Type {
            name: names.kind.clone().into(),
            package: format!("{}/{}", names.group, names.version).into(),
            group: names.group.clone().into(),
            version: names.version.clone().into(),
            proto: proto.into(),
            is_kind: true,
            is_open: root.preserve,
            ..plain_type(fields)
        });
        id
    }

    fn reserve(&mut self) -> TypeId {
        self.types.push(None);
        TypeId(self.types.len() as u32 - 1)
    }

    fn shape_id(&mut self, shape: Shape) -> ShapeId {
        self.shapes.push(shape);
        ShapeId(self.shapes.len() as u32 - 1)
    }

    fn field(&mut self, owner: &Structural, name: &str, place: &str) -> Field {
        let schema = &owner.properties[name];
        Field {
            name: name.to_owned().into(),
            required: owner.checks.required.iter().any(|required| required == name),
            list: schema.list.clone(),
            map_atomic: schema.map_atomic,
            default: schema.default.as_ref().map(Value::to_string).unwrap_or_default().into(),
            ..field("", self.shape(schema, place))
        }
    }

    fn shape(&mut self, schema: &Structural, place: &str) -> Shape {
        match (schema.kind.as_str(), &schema.items, &schema.additional) {
            _ if schema.int_or_string => Shape::IntOrString,
            ("boolean", ..) => Shape::Bool,
            ("integer", ..) if schema.checks.format == "int32" => Shape::Int32,
            ("integer", ..) => Shape::Int64,
            ("number", ..) => Shape::Float64,
            ("string", ..) => Shape::String,
            ("array", Some(items), _) => {
                let item = self.shape(items, place);
                Shape::List(self.shape_id(item))
            }
            ("object", _, Additional::Schema(below)) => {
                let item = self.shape(below, place);
                Shape::Map(self.shape_id(item))
            }
            ("object", _, Additional::Allowed) => Shape::Map(self.shape_id(Shape::Json)),
            ("object", ..) if !schema.properties.is_empty() || schema.embedded => self.object(schema, place),
            _ => Shape::Json,
        }
    }

    fn object(&mut self, schema: &Structural, place: &str) -> Shape {
        let id = self.reserve();
        let mut fields = Vec::new();
        if schema.embedded {
            let metadata = Shape::Struct(self.import("meta/v1", "ObjectMeta"));
            fields.extend([
                field("kind", Shape::String),
                field("apiVersion", Shape::String),
                field("metadata", metadata),
            ]);
        }
        for name in schema.properties.keys() {
            if !fields.iter().any(|own| own.name == *name) {
                fields.push(self.field(schema, name, &format!("{place}.{name}")));
            }
        }
        let name = place.to_owned().into();
        let is_atomic = schema.map_atomic;
        self.types[id.0 as usize] =
            Some(Type { name, is_atomic, is_open: schema.preserve, ..plain_type(fields) });
        Shape::Struct(id)
    }

    /// A built-in type with all that it holds.
    fn import(&mut self, package: &str, name: &str) -> TypeId {
        let found = Schema::builtin().named(package, name).expect("a type of the built-in schema");
        self.import_id(found.id)
    }

    fn import_id(&mut self, from: TypeId) -> TypeId {
        if let Some(id) = self.imported.get(&from) {
            return *id;
        }
        let id = self.reserve();
        self.imported.insert(from, id);
        let mut copied = Schema::builtin().type_ref(from).get().clone();
        for field in copied.fields.to_mut() {
            field.shape = self.import_shape(field.shape);
        }
        self.types[id.0 as usize] = Some(copied);
        id
    }

    fn import_shape(&mut self, shape: Shape) -> Shape {
        match shape {
            Shape::Struct(id) => Shape::Struct(self.import_id(id)),
            Shape::List(id) => {
                let inner = self.import_shape(Schema::builtin().shape(id));
                Shape::List(self.shape_id(inner))
            }
            Shape::Map(id) => {
                let inner = self.import_shape(Schema::builtin().shape(id));
                Shape::Map(self.shape_id(inner))
            }
            // The words of an enumeration matter to nobody here.
            Shape::Enum(_) => Shape::String,
            plain => plain,
        }
    }
}

fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name: Cow::Borrowed(name),
        number: 0,
        shape,
        pointer: true,
        inline: false,
        presence: Presence::OmitEmpty,
        required: false,
        list: ListKind::Atomic,
        map_atomic: false,
        patch_strategy: Texts::default(),
        merge_key: Text::default(),
        default: Text::default(),
    }
}

fn plain_type(fields: Vec<Field>) -> Type {
    Type {
        name: Text::default(),
        package: Text::default(),
        group: Text::default(),
        version: Text::default(),
        proto: Text::default(),
        is_kind: false,
        is_internal: false,
        is_atomic: false,
        is_open: false,
        union: Texts::default(),
        fields: fields.into(),
    }
}
