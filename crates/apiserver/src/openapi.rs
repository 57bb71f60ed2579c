//! OpenAPI documents of everything that is served.

use api::Schema;
use api::openapi::{self, group_version_path};

use crate::registry::Registry;

const VERSION: &str = "v1.36.0";

/// `/openapi/v2`.
pub fn v2() -> Vec<u8> {
    openapi::v2(&[Schema::builtin()], VERSION).to_string().into_bytes()
}

/// The same in gnostic's protobuf.
pub fn v2_protobuf() -> Vec<u8> {
    openapi::v2_protobuf(&openapi::v2(&[Schema::builtin()], VERSION))
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

/// One of them.
pub fn v3(group: &str, version: &str) -> Vec<u8> {
    openapi::v3(Schema::builtin(), group, version, VERSION).to_string().into_bytes()
}
