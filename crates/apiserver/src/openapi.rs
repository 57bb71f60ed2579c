//! OpenAPI documents of everything that is served.

use api::Schema;
use api::openapi::{self, CustomKind, group_version_path};

use crate::custom::Kind;
use crate::registry::Registry;

const VERSION: &str = "v1.36.0";

/// `/openapi/v2`.
pub fn v2(registry: &Registry) -> serde_json::Value {
    let kinds = kinds(registry);
    openapi::v2(Schema::builtin(), &published(&kinds), VERSION)
}

/// The same in gnostic's protobuf.
pub fn v2_protobuf(registry: &Registry) -> Vec<u8> {
    openapi::v2_protobuf(&v2(registry))
}

/// The custom kinds that are served.
fn kinds(registry: &Registry) -> Vec<Kind> {
    registry.all().iter().filter_map(|served| served.custom.clone()).collect()
}

fn published(kinds: &[Kind]) -> Vec<CustomKind<'_>> {
    kinds
        .iter()
        .map(|kind| CustomKind { schema: &kind.version().schema, given: &kind.version().given })
        .collect()
}

/// The groups and versions that `/openapi/v3/…` describes: path, group, version.
pub fn v3_paths(registry: &Registry) -> Vec<(String, String, String)> {
    let mut paths: Vec<_> = registry
        .all()
        .iter()
        .map(|s| (group_version_path(&s.group, &s.version), s.group.clone(), s.version.clone()))
        .collect();
    paths.dedup();
    paths
}

/// Whether definitions have a part in a group and version.
pub fn has_custom(registry: &Registry, group: &str, version: &str) -> bool {
    registry
        .all()
        .iter()
        .any(|s| s.custom.is_some() && (s.group.as_str(), s.version.as_str()) == (group, version))
}

/// One of them.
pub fn v3(registry: &Registry, group: &str, version: &str) -> Vec<u8> {
    let mut kinds = kinds(registry);
    kinds.retain(|kind| kind.definition.group == group && kind.version().name == version);
    let document = match kinds.is_empty() {
        true => openapi::v3(Schema::builtin(), group, version, VERSION),
        false => openapi::v3_custom(&published(&kinds), group, version, VERSION),
    };
    document.to_string().into_bytes()
}
