//! The API as data: types, fields, resources.
//!
//! One [`Schema`] holds what is built in, compiled from `schema/*.api`; a CustomResourceDefinition compiles to a
//! Schema of its own at run time. Everything that works on objects takes a [`TypeRef`] and asks no other question.

mod builtin;

use std::borrow::Cow;
use std::collections::HashMap;

pub type Text = Cow<'static, str>;
pub type Texts = Cow<'static, [Text]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeId(pub u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnumId(pub u32);

/// What a value looks like in JSON, and how protobuf carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Bool,
    Int32,
    Int64,
    Float64,
    String,
    /// A string with known values. Unknown ones are validation's business, not decoding's.
    Enum(EnumId),
    /// Base64 in JSON.
    Bytes,
    Quantity,
    IntOrString,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    Duration,
    /// Any object, kept as JSON inside protobuf.
    Raw,
    /// The field set of a managedFields entry.
    FieldsV1,
    /// Any JSON value.
    Json,
    Struct(TypeId),
    List(ShapeId),
    Map(ShapeId),
}

/// When a field is written in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Left out when absent or empty (Go's omitempty): a struct that is no pointer is always written.
    OmitEmpty,
    /// Left out when zero, a struct too.
    OmitZero,
    /// Always written, null where there is nothing.
    Always,
}

/// How lists merge in server-side apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    /// The fields that tell items apart.
    Map(Texts),
}

#[derive(Clone, Debug)]
pub struct Field {
    /// The JSON name; empty for an inlined struct and for the branches of an either-or type.
    pub name: Text,
    /// The protobuf number; 0 where protobuf has no such field.
    pub number: u32,
    pub shape: Shape,
    /// Absent differs from zero.
    pub pointer: bool,
    /// The fields of this struct stand in the JSON of its owner.
    pub inline: bool,
    pub presence: Presence,
    pub required: bool,
    pub list: ListKind,
    /// A map or struct that server-side apply replaces as a whole.
    pub map_atomic: bool,
    /// Strategic merge patch: `merge`, `replace`, `retainKeys`.
    pub patch_strategy: Texts,
    /// Strategic merge patch: the key of list items; empty where there is none.
    pub merge_key: Text,
    /// What it is where it is not said, as JSON; empty for none. Of custom kinds only: others have rules.
    pub default: Text,
}

#[derive(Clone, Debug)]
pub struct Type {
    pub name: Text,
    /// `core/v1`.
    pub package: Text,
    pub group: Text,
    pub version: Text,
    /// The protobuf package, `k8s.io.api.core.v1`.
    pub proto: Text,
    /// Has apiVersion and kind, and may stand alone.
    pub is_kind: bool,
    /// Not part of the published API.
    pub is_internal: bool,
    pub is_atomic: bool,
    /// Has fields that it does not name. Of custom kinds only.
    pub is_open: bool,
    /// A union's discriminator (or `-`) and members.
    pub union: Texts,
    /// In the order in which JSON is written.
    pub fields: Cow<'static, [Field]>,
}

#[derive(Clone, Debug)]
pub struct Enum {
    pub name: Text,
    pub values: Texts,
}

#[derive(Clone, Debug)]
pub struct Resource {
    pub group: Text,
    pub version: Text,
    pub plural: Text,
    pub kind: Text,
    pub type_id: TypeId,
    pub namespaced: bool,
    pub verbs: Texts,
    pub subresources: Cow<'static, [Subresource]>,
}

#[derive(Clone, Debug)]
pub struct Subresource {
    pub name: Text,
    pub verbs: Texts,
    /// What it reads and writes; none where that is no object.
    pub kind: Option<TypeId>,
}

impl Type {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }
}

impl Resource {
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }
}

/// `v1` for the core group, else `group/version`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The two parts of an apiVersion.
pub fn split_api_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

type Names = HashMap<(String, String, String), u32>;

/// A set of types and the resources that use them.
#[derive(Debug)]
pub struct Schema {
    pub(crate) types: Cow<'static, [Type]>,
    pub(crate) shapes: Cow<'static, [Shape]>,
    pub(crate) enums: Cow<'static, [Enum]>,
    pub(crate) resources: Cow<'static, [Resource]>,
    by_kind: Names,
    by_package: HashMap<(String, String), u32>,
    by_resource: Names,
    /// Per type: its JSON fields sorted by name, those of inlined structs included.
    lookups: Vec<Vec<Lookup>>,
    /// The same in the order in which they are written.
    written: Vec<Vec<Lookup>>,
    /// Per type: the indices of its fields that protobuf has, by number.
    numbered: Vec<Vec<u16>>,
}

/// A JSON name of a type: the field that it stands for, which for an inlined struct is another type's.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    owner: TypeId,
    field: u16,
}

impl Schema {
    /// The whole built-in API.
    pub fn builtin() -> &'static Self {
        builtin::schema()
    }

    pub fn new(
        types: Cow<'static, [Type]>,
        shapes: Cow<'static, [Shape]>,
        enums: Cow<'static, [Enum]>,
        resources: Cow<'static, [Resource]>,
    ) -> Self {
        let key = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let numbered = types.iter().zip(0u32..);
        let by_kind = numbered.clone().map(|(t, id)| (key(&t.group, &t.version, &t.name), id)).collect();
        let by_package = numbered.map(|(t, id)| ((t.package.to_string(), t.name.to_string()), id)).collect();
        let by_resource =
            resources.iter().zip(0u32..).map(|(r, id)| (key(&r.group, &r.version, &r.plural), id)).collect();
        let lookups = (0..types.len() as u32).map(|id| lookup_of(TypeId(id), &types)).collect();
        let written = (0..types.len() as u32)
            .map(|id| {
                let mut fields = Vec::new();
                collect(TypeId(id), &types, &mut fields);
                fields
            })
            .collect();
        let numbered = types.iter().map(by_number).collect();
        Self { types, shapes, enums, resources, by_kind, by_package, by_resource, lookups, written, numbered }
    }

    pub fn types(&self) -> impl Iterator<Item = TypeRef<'_>> {
        (0..self.types.len() as u32).map(|id| self.type_ref(TypeId(id)))
    }

    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// `("apps", "v1", "deployments")`.
    pub fn resource(&self, group: &str, version: &str, plural: &str) -> Option<ResourceRef<'_>> {
        let id = self.by_resource.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))?;
        Some(ResourceRef { schema: self, resource: &self.resources[*id as usize] })
    }

    /// `("apps", "v1", "Deployment")`.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeRef<'_>> {
        let id = self.by_kind.get(&(group.to_owned(), version.to_owned(), kind.to_owned()))?;
        Some(self.type_ref(TypeId(*id)))
    }

    /// A type by its package: `("meta/v1", "Status")`.
    pub fn named(&self, package: &str, name: &str) -> Option<TypeRef<'_>> {
        let id = self.by_package.get(&(package.to_owned(), name.to_owned()))?;
        Some(self.type_ref(TypeId(*id)))
    }

    pub fn type_ref(&self, id: TypeId) -> TypeRef<'_> {
        TypeRef { schema: self, id }
    }

    pub fn shape(&self, id: ShapeId) -> Shape {
        self.shapes[id.0 as usize]
    }

    pub fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0 as usize]
    }
}

fn lookup_of(owner: TypeId, types: &[Type]) -> Vec<Lookup> {
    let mut lookups = Vec::new();
    collect(owner, types, &mut lookups);
    lookups.sort_by(|a, b| field_at(types, *a).name.cmp(&field_at(types, *b).name));
    lookups
}

fn by_number(described: &Type) -> Vec<u16> {
    let fields = &described.fields;
    let mut indices: Vec<u16> =
        fields.iter().zip(0u16..).filter(|(field, _)| field.number > 0).map(|(_, index)| index).collect();
    indices.sort_by_key(|index| fields[usize::from(*index)].number);
    indices
}

fn collect(owner: TypeId, types: &[Type], lookups: &mut Vec<Lookup>) {
    for (field, index) in types[owner.0 as usize].fields.iter().zip(0u16..) {
        match field.shape {
            Shape::Struct(inner) if field.inline => collect(inner, types, lookups),
            _ => lookups.push(Lookup { owner, field: index }),
        }
    }
}

fn field_at(types: &[Type], lookup: Lookup) -> &Field {
    &types[lookup.owner.0 as usize].fields[usize::from(lookup.field)]
}

/// A type in its schema.
#[derive(Clone, Copy, Debug)]
pub struct TypeRef<'a> {
    pub schema: &'a Schema,
    pub id: TypeId,
}

impl<'a> TypeRef<'a> {
    pub fn get(self) -> &'a Type {
        &self.schema.types[self.id.0 as usize]
    }

    pub fn name(self) -> &'a str {
        &self.get().name
    }

    /// The field that stands under `name` in the type's JSON, one of an inlined struct too.
    pub fn field(self, name: &str) -> Option<&'a Field> {
        let types = &*self.schema.types;
        let lookups = &self.schema.lookups[self.id.0 as usize];
        let at = lookups.binary_search_by(|lookup| (*field_at(types, *lookup).name).cmp(name)).ok()?;
        Some(field_at(types, lookups[at]))
    }

    /// All fields that stand in the type's JSON, in the order in which they are written.
    pub fn json_fields(self) -> impl Iterator<Item = &'a Field> {
        let types = &*self.schema.types;
        self.schema.written[self.id.0 as usize].iter().map(|lookup| field_at(types, *lookup))
    }

    /// The type's own fields that protobuf has, by number.
    pub fn proto_fields(self) -> impl Iterator<Item = &'a Field> {
        let fields = &self.get().fields;
        self.schema.numbered[self.id.0 as usize].iter().map(move |index| &fields[usize::from(*index)])
    }

    /// The type's own field of this protobuf number.
    pub fn proto_field(self, number: u32) -> Option<&'a Field> {
        let (fields, order) = (&self.get().fields, &self.schema.numbered[self.id.0 as usize]);
        let at = order.binary_search_by_key(&number, |index| fields[usize::from(*index)].number).ok()?;
        Some(&fields[usize::from(order[at])])
    }

    /// The struct behind `shape`.
    pub fn inner(self, id: TypeId) -> TypeRef<'a> {
        self.schema.type_ref(id)
    }

    /// Either-or types hold one of several JSON types and have no field names.
    pub fn is_either_or(self) -> bool {
        self.get().fields.first().is_some_and(|field| field.name.is_empty() && !field.inline)
    }

    pub fn is_kind(self) -> bool {
        self.field("apiVersion").is_some() && self.field("kind").is_some()
    }
}

/// A resource in its schema.
#[derive(Clone, Copy, Debug)]
pub struct ResourceRef<'a> {
    pub schema: &'a Schema,
    pub resource: &'a Resource,
}

impl<'a> ResourceRef<'a> {
    /// The type of its objects.
    pub fn object(self) -> TypeRef<'a> {
        self.schema.type_ref(self.resource.type_id)
    }
}

impl std::ops::Deref for ResourceRef<'_> {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        self.resource
    }
}
