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

/// The one document of everything. Custom resources bring schemas of their own.
pub fn v2(schemas: &[&Schema], server_version: &str) -> Value {
    let (mut paths, mut all) = (Map::new(), Map::new());
    for schema in schemas {
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
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "definitions": all,
    })
}
