//! Definitions: the types that operations refer to, and what those refer to.

use super::Form;
use crate::schema::{Field, ListKind, Schema, Shape, TypeId, TypeRef};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const RESOURCE: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// `io.k8s.api.core.v1.Pod`.
pub fn definition_name(owner: TypeRef<'_>) -> String {
    let proto = &owner.get().proto;
    let package =
        proto.strip_prefix("k8s.io").map_or_else(|| proto.to_string(), |rest| format!("io.k8s{rest}"));
    format!("{package}.{}", owner.name())
}

/// The definitions of one document, made as they are referred to.
pub(super) struct Definitions<'a> {
    schema: &'a Schema,
    form: Form,
    made: BTreeMap<String, Value>,
    /// A type whose definition is not made from its fields: a custom kind's.
    given: Option<(TypeId, &'a Value)>,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(schema: &'a Schema, form: Form) -> Self {
        Definitions { schema, form, made: BTreeMap::new(), given: None }
    }

    /// Of a custom kind, with the schema that its definition gave.
    pub(super) fn of_custom(schema: &'a Schema, form: Form, given: (TypeId, &'a Value)) -> Self {
        Definitions { schema, form, made: BTreeMap::new(), given: Some(given) }
    }

    pub(super) fn schema(&self) -> &'a Schema {
        self.schema
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    pub(super) fn finish(self) -> Value {
        Value::Object(self.made.into_iter().collect())
    }

    /// `{"$ref": …}` to a type, whose definition is made if it is not there.
    pub(super) fn reference(&mut self, id: TypeId) -> Value {
        let owner = self.schema.type_ref(id);
        let name = definition_name(owner);
        if !self.made.contains_key(&name) {
            // types refer to themselves: the place is taken before it is filled
            self.made.insert(name.clone(), Value::Null);
            let definition = self.definition(owner);
            self.made.insert(name.clone(), definition);
        }
        self.link(&name)
    }

    /// A type of the metadata package, which every document refers to.
    pub(super) fn meta(&mut self, name: &str) -> Value {
        match Schema::builtin().named("meta/v1", name) {
            Some(owner) if std::ptr::eq(self.schema, Schema::builtin()) => self.reference(owner.id),
            Some(owner) => {
                let mut built_in = Definitions::new(Schema::builtin(), self.form);
                let link = built_in.reference(owner.id);
                for (name, definition) in built_in.made {
                    self.made.entry(name).or_insert(definition);
                }
                link
            }
            None => self.basic(&format!("{META}.{name}"), json!({"type": "object"})),
        }
    }

    /// The List kind of a kind.
    pub(super) fn list_of(&mut self, item: TypeId, group: &str, version: &str, kind: &str) -> Value {
        if let Some(list) = self.schema.kind(group, version, &format!("{kind}List")) {
            return self.reference(list.id);
        }
        let name = format!("{}List", definition_name(self.schema.type_ref(item)));
        if self.made.contains_key(&name) {
            return self.link(&name);
        }
        let (items, metadata) = (self.reference(item), self.meta("ListMeta"));
        let definition = json!({
            "type": "object", "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "metadata": self.wrapped(metadata, true), "items": {"type": "array", "items": self.wrapped(items, true)},
            },
            "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": format!("{kind}List")}],
        });
        self.made.insert(name.clone(), definition);
        self.link(&name)
    }

    fn link(&self, name: &str) -> Value {
        json!({"$ref": format!("{}{name}", self.form.prefix())})
    }

    /// In v3 a reference has no siblings: what is said besides stands around it.
    fn wrapped(&self, reference: Value, plain: bool) -> Value {
        match self.form {
            Form::V2 => reference,
            Form::V3 if plain => json!({"allOf": [reference], "default": {}}),
            Form::V3 => json!({"allOf": [reference]}),
        }
    }

    /// A definition that is no struct of the schema.
    fn basic(&mut self, name: &str, definition: Value) -> Value {
        self.made.entry(name.to_owned()).or_insert(definition);
        self.link(name)
    }

    fn definition(&mut self, owner: TypeRef<'_>) -> Value {
        if let Some((id, schema)) = self.given
            && id == owner.id
        {
            let metadata = self.meta("ObjectMeta");
            let metadata = self.wrapped(metadata, false);
            let kind = owner.get();
            let names = [&*kind.group, &*kind.version, &*kind.name];
            return crate::custom::published_definition(schema, self.form, names, metadata);
        }
        if owner.is_either_or() {
            return json!({});
        }
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in owner.json_fields() {
            properties.insert(field.name.to_string(), self.property(field));
            if field.required {
                required.push(Value::String(field.name.to_string()));
            }
        }
        let mut definition = json!({"type": "object"});
        if !properties.is_empty() {
            definition["properties"] = Value::Object(properties);
        }
        if !required.is_empty() {
            required.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            definition["required"] = Value::Array(required);
        }
        let kind = owner.get();
        if kind.is_atomic {
            definition["x-kubernetes-map-type"] = json!("atomic");
        }
        if kind.is_kind {
            definition["x-kubernetes-group-version-kind"] =
                json!([{"group": kind.group, "version": kind.version, "kind": kind.name}]);
        }
        definition
    }

    fn property(&mut self, field: &Field) -> Value {
        let mut property = match field.shape {
            Shape::Struct(_) => {
                let reference = self.value(field.shape);
                self.wrapped(reference, !field.pointer)
            }
            shape => {
                let value = self.value(shape);
                if value.get("$ref").is_some() { self.wrapped(value, false) } else { value }
            }
        };
        if let Some(map) = property.as_object_mut() {
            extensions(field, map);
            if self.form == Form::V3 && field.required && field.shape == Shape::String {
                map.insert("default".into(), json!(""));
            }
        }
        property
    }

    fn value(&mut self, shape: Shape) -> Value {
        match shape {
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Float64 => json!({"type": "number", "format": "double"}),
            Shape::String => json!({"type": "string"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Json => json!({}),
            Shape::Enum(id) => {
                let values = self.schema.enumeration(id).values.clone();
                json!({"type": "string", "enum": values})
            }
            Shape::Struct(id) => self.reference(id),
            Shape::List(inner) => {
                let items = self.element(inner);
                json!({"type": "array", "items": items})
            }
            Shape::Map(inner) => {
                let items = self.element(inner);
                json!({"type": "object", "additionalProperties": items})
            }
            well_known => self.well_known(well_known),
        }
    }

    fn element(&mut self, inner: crate::schema::ShapeId) -> Value {
        let shape = self.schema.shape(inner);
        let value = self.value(shape);
        let plain = matches!(shape, Shape::Struct(_));
        if value.get("$ref").is_some() { self.wrapped(value, plain) } else { value }
    }

    fn well_known(&mut self, shape: Shape) -> Value {
        let either = |a: &str, b: &str| json!({"oneOf": [{"type": a}, {"type": b}]});
        let v3 = self.form == Form::V3;
        match shape {
            Shape::Quantity if v3 => self.basic(RESOURCE, either("string", "number")),
            Shape::Quantity => self.basic(RESOURCE, json!({"type": "string"})),
            Shape::IntOrString => {
                let mut definition = if v3 { either("integer", "string") } else { json!({"type": "string"}) };
                definition["format"] = json!("int-or-string");
                self.basic("io.k8s.apimachinery.pkg.util.intstr.IntOrString", definition)
            }
            Shape::Time => {
                self.basic(&format!("{META}.Time"), json!({"type": "string", "format": "date-time"}))
            }
            Shape::MicroTime => {
                self.basic(&format!("{META}.MicroTime"), json!({"type": "string", "format": "date-time"}))
            }
            Shape::Duration => self.basic(&format!("{META}.Duration"), json!({"type": "string"})),
            Shape::FieldsV1 => self.basic(&format!("{META}.FieldsV1"), json!({"type": "object"})),
            _ => self.basic("io.k8s.apimachinery.pkg.runtime.RawExtension", json!({"type": "object"})),
        }
    }
}

/// How patches and applies merge the field.
fn extensions(field: &Field, property: &mut Map<String, Value>) {
    if matches!(field.shape, Shape::List(_)) {
        let (kind, keys) = match &field.list {
            ListKind::Atomic => ("atomic", None),
            ListKind::Set => ("set", None),
            ListKind::Map(keys) => ("map", Some(keys)),
        };
        property.insert("x-kubernetes-list-type".into(), kind.into());
        if let Some(keys) = keys {
            property.insert("x-kubernetes-list-map-keys".into(), json!(keys));
        }
    }
    if field.map_atomic {
        property.insert("x-kubernetes-map-type".into(), "atomic".into());
    }
    if !field.patch_strategy.is_empty() {
        property.insert("x-kubernetes-patch-strategy".into(), field.patch_strategy.join(",").into());
    }
    if !field.merge_key.is_empty() {
        property.insert("x-kubernetes-patch-merge-key".into(), field.merge_key.to_string().into());
    }
}
