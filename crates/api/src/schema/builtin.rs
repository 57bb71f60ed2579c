//! The tables that the build script made.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::{
    Enum, EnumId, Field, ListKind, Presence, Resource, Schema, Shape, ShapeId, Subresource, Type, TypeId,
};

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

pub(super) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        Schema::new(
            Cow::Borrowed(TYPES),
            Cow::Borrowed(SHAPES),
            Cow::Borrowed(ENUMS),
            Cow::Borrowed(RESOURCES),
        )
    });
    &SCHEMA
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_api_is_there() {
        let schema = Schema::builtin();
        // Upstream's 95 and the two of metrics.k8s.io.
        assert_eq!(schema.resources().len(), 97);
        let pods = schema.resource("", "v1", "pods").expect("described");
        assert!(pods.subresource("exec").is_some() && pods.has_verb("deletecollection"));
        let spec = schema.kind("", "v1", "PodSpec").expect("described");
        let containers = spec.field("containers").expect("described");
        assert_eq!((containers.number, &*containers.merge_key, containers.required), (2, "name", true));
        let ports = schema.kind("", "v1", "Container").and_then(|c| c.field("ports")).expect("described");
        assert_eq!(
            ports.list,
            ListKind::Map(Cow::Borrowed(&[Cow::Borrowed("containerPort"), Cow::Borrowed("protocol")]))
        );
    }
}
