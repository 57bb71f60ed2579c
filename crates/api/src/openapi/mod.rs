//! OpenAPI v2 and v3 documents, made from a schema: what kubectl validates, explains and patches by.
//!
//! Works on any [`Schema`], a custom resource's too. Documents are large: callers make them when asked and keep
//! them. Descriptions of fields are not part of the schema.

mod definitions;
mod gnostic;
mod operations;
mod paths;

#[cfg(test)]
mod tests;

pub use definitions::definition_name;
pub use gnostic::v2_protobuf;

use crate::schema::{Resource, Schema, api_version};
use definitions::Definitions;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Which of the two forms a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    V2,
    V3,
}

impl Form {
    fn prefix(self) -> &'static str {
        match self {
            Form::V2 => "#/definitions/",
            Form::V3 => "#/components/schemas/",
        }
    }
}

/// `apis/apps/v1`, `api/v1`: how `/openapi/v3` names a group and version.
pub fn group_version_path(group: &str, version: &str) -> String {
    let root = if group.is_empty() { "api" } else { "apis" };
    format!("{root}/{}", api_version(group, version))
}

/// The index at `/openapi/v3`: the documents there are, by path and hash.
pub fn v3_index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
    let entry = |(path, hash): (&str, &str)| {
        let url = format!("/openapi/v3/{path}?hash={hash}");
        (path.to_owned(), json!({"serverRelativeURL": url}))
    };
    json!({"paths": documents.into_iter().map(entry).collect::<Map<_, _>>()})
}

/// The document of one group and version.
pub fn v3(schema: &Schema, group: &str, version: &str, server_version: &str) -> Value {
    let resources: Vec<&Resource> = schema
        .resources()
        .iter()
        .filter(|resource| resource.group == group && resource.version == version)
        .collect();
    let mut found = Definitions::new(schema, Form::V3);
    let mut paths = Map::new();
    paths::of_version(&mut found, group, version, &mut paths);
    for resource in resources {
        paths::of_resource(&mut found, resource, &mut paths);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "components": {"schemas": found.finish()},
    })
}

/// A custom kind in one version, and the schema that its definition gave.
#[derive(Debug, Clone, Copy)]
pub struct CustomKind<'a> {
    pub schema: &'a Schema,
    pub given: &'a Value,
}

impl<'a> CustomKind<'a> {
    fn definitions(self, form: Form) -> (Definitions<'a>, &'a Resource) {
        let resource = &self.schema.resources()[0];
        (Definitions::of_custom(self.schema, form, (resource.type_id, self.given)), resource)
    }
}

/// The document of a group and version of custom kinds.
pub fn v3_custom(kinds: &[CustomKind<'_>], group: &str, version: &str, server_version: &str) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in kinds {
        let (mut found, resource) = kind.definitions(Form::V3);
        paths::of_version(&mut found, group, version, &mut paths);
        paths::of_resource(&mut found, resource, &mut paths);
        if let Value::Object(definitions) = found.finish() {
            schemas.extend(definitions);
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes CRD Swagger", "version": server_version},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// The one document of everything.
pub fn v2(schema: &Schema, custom: &[CustomKind<'_>], server_version: &str) -> Value {
    let (mut paths, mut all) = (Map::new(), Map::new());
    for kind in custom {
        let (mut found, resource) = kind.definitions(Form::V2);
        paths::of_version(&mut found, &resource.group, &resource.version, &mut paths);
        paths::of_resource(&mut found, resource, &mut paths);
        if let Value::Object(definitions) = found.finish() {
            all.extend(definitions);
        }
    }
    let mut found = Definitions::new(schema, Form::V2);
    let versions: BTreeSet<(&str, &str)> =
        schema.resources().iter().map(|resource| (&*resource.group, &*resource.version)).collect();
    for (group, version) in versions {
        paths::of_version(&mut found, group, version, &mut paths);
    }
    for resource in schema.resources() {
        paths::of_resource(&mut found, resource, &mut paths);
    }
    if let Value::Object(definitions) = found.finish() {
        all.extend(definitions);
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "definitions": all,
    })
}
