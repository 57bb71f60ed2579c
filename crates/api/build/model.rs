//! What a description says, before and after its names are resolved.

/// One `.api` file.
#[derive(Default)]
pub struct Package {
    /// `core/v1`: the folder and the file.
    pub name: String,
    pub group: String,
    pub version: String,
    /// `k8s.io.api.core.v1`.
    pub proto: String,
    pub resources: Vec<Resource>,
    pub scalars: Vec<Scalar>,
    pub types: Vec<Type>,
}

pub struct Resource {
    pub at: String,
    pub plural: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub subresources: Vec<Subresource>,
}

pub struct Subresource {
    pub name: String,
    pub verbs: Vec<String>,
    /// `-` where it answers no object.
    pub kind: String,
}

/// A named scalar, list or map.
pub struct Scalar {
    pub at: String,
    pub name: String,
    /// As written; `string` for an enum.
    pub of: String,
    pub values: Option<Vec<String>>,
}

pub struct Type {
    pub name: String,
    pub marks: Vec<String>,
    pub union: Vec<String>,
    pub fields: Vec<Field>,
}

pub struct Field {
    pub at: String,
    /// Empty for a struct that is inlined, and for the branches of an either-or type.
    pub name: String,
    pub inline: bool,
    /// None where protobuf has no such field.
    pub number: Option<u32>,
    pub of: String,
    pub marks: Vec<String>,
}

/// The resolved whole.
#[derive(Default)]
pub struct Tables {
    pub types: Vec<ResolvedType>,
    pub shapes: Vec<Shape>,
    pub enums: Vec<(String, Vec<String>)>,
    pub resources: Vec<ResolvedResource>,
}

pub struct ResolvedType {
    pub name: String,
    pub package: String,
    pub group: String,
    pub version: String,
    pub proto: String,
    pub marks: Vec<String>,
    pub union: Vec<String>,
    pub fields: Vec<ResolvedField>,
}

pub struct ResolvedField {
    pub name: String,
    pub inline: bool,
    pub number: u32,
    pub shape: Shape,
    pub pointer: bool,
    pub marks: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Scalar(&'static str),
    Enum(usize),
    Struct(usize),
    List(usize),
    Map(usize),
}

pub struct ResolvedResource {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub kind: String,
    pub type_id: usize,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub subresources: Vec<(String, Vec<String>, Option<usize>)>,
}
