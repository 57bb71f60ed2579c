//! Writes the resolved tables as Rust constants.

use std::fmt::Write;

use crate::model::{ResolvedField, ResolvedResource, ResolvedType, Shape, Tables};

pub fn tables(tables: &Tables) -> String {
    let mut out = String::new();
    let mut table = |name: &str, of: &str, rows: Vec<String>| {
        let _ = writeln!(out, "static {name}: &[{of}] = &[");
        for row in rows {
            let _ = writeln!(out, "    {row},");
        }
        out.push_str("];\n");
    };
    table("TYPES", "Type", tables.types.iter().map(owner).collect());
    table("SHAPES", "Shape", tables.shapes.iter().map(shape).collect());
    table("ENUMS", "Enum", tables.enums.iter().map(enumeration).collect());
    table("RESOURCES", "Resource", tables.resources.iter().map(resource).collect());
    out
}

fn owner(owner: &ResolvedType) -> String {
    let mark = |mark: &str| owner.marks.iter().any(|own| own == mark);
    let fields: Vec<_> = owner.fields.iter().map(field).collect();
    format!(
        "Type {{ name: {}, package: {}, group: {}, version: {}, proto: {}, is_kind: {}, is_internal: {}, is_atomic: {}, is_open: false, union: {}, fields: Cow::Borrowed(&[{}]) }}",
        text(&owner.name),
        text(&owner.package),
        text(&owner.group),
        text(&owner.version),
        text(&owner.proto),
        mark("kind"),
        mark("internal"),
        mark("atomic"),
        texts(&owner.union),
        fields.join(", ")
    )
}

fn field(field: &ResolvedField) -> String {
    let mark = |mark: &str| field.marks.iter().any(|own| own == mark);
    let (strategy, merge_key) = patch(field);
    format!(
        "Field {{ name: {}, number: {}, shape: {}, pointer: {}, inline: {}, presence: Presence::{}, required: {}, list: {}, map_atomic: {}, patch_strategy: {}, merge_key: {}, default: Cow::Borrowed(\"\") }}",
        text(&field.name),
        field.number,
        shape(&field.shape),
        field.pointer,
        field.inline,
        presence(field),
        mark("!") || mark("req"),
        list(field),
        mark("atomic") && !matches!(field.shape, Shape::List(_)),
        texts(&strategy),
        text(&merge_key),
    )
}

fn presence(field: &ResolvedField) -> &'static str {
    let mark = |mark: &str| field.marks.iter().any(|own| own == mark);
    if mark("!") || mark("always") {
        "Always"
    } else if mark("omitzero") {
        "OmitZero"
    } else {
        "OmitEmpty"
    }
}

fn list(field: &ResolvedField) -> String {
    if !matches!(field.shape, Shape::List(_)) {
        return "ListKind::Atomic".into();
    }
    if field.marks.iter().any(|mark| mark == "set") {
        return "ListKind::Set".into();
    }
    match field.marks.iter().find_map(|mark| mark.strip_prefix("map(")) {
        Some(keys) => {
            let keys: Vec<_> = keys.trim_end_matches(')').split(',').map(str::to_owned).collect();
            format!("ListKind::Map({})", texts(&keys))
        }
        None => "ListKind::Atomic".into(),
    }
}

/// `smp(merge,retainKeys:name)` to its strategies and merge key.
fn patch(field: &ResolvedField) -> (Vec<String>, String) {
    let Some(inner) = field.marks.iter().find_map(|mark| mark.strip_prefix("smp(")) else {
        return (Vec::new(), String::new());
    };
    let inner = inner.trim_end_matches(')');
    let (strategies, key) = inner.split_once(':').unwrap_or((inner, ""));
    (strategies.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect(), key.to_owned())
}

fn shape(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(name) => {
            let name = match *name {
                "bool" => "Bool",
                "int32" | "int" => "Int32",
                "int64" | "uint" => "Int64",
                "float64" => "Float64",
                "string" => "String",
                "bytes" => "Bytes",
                "quantity" => "Quantity",
                "intstr" => "IntOrString",
                "time" => "Time",
                "microtime" => "MicroTime",
                "duration" => "Duration",
                "raw" => "Raw",
                "fieldsv1" => "FieldsV1",
                _ => "Json",
            };
            format!("Shape::{name}")
        }
        Shape::Enum(index) => format!("Shape::Enum(EnumId({index}))"),
        Shape::Struct(index) => format!("Shape::Struct(TypeId({index}))"),
        Shape::List(index) => format!("Shape::List(ShapeId({index}))"),
        Shape::Map(index) => format!("Shape::Map(ShapeId({index}))"),
    }
}

fn enumeration((name, values): &(String, Vec<String>)) -> String {
    format!("Enum {{ name: {}, values: {} }}", text(name), texts(values))
}

fn resource(resource: &ResolvedResource) -> String {
    let subresources: Vec<_> = resource
        .subresources
        .iter()
        .map(|(name, verbs, kind)| {
            let kind = kind.map_or("None".into(), |kind| format!("Some(TypeId({kind}))"));
            format!("Subresource {{ name: {}, verbs: {}, kind: {kind} }}", text(name), texts(verbs))
        })
        .collect();
    format!(
        "Resource {{ group: {}, version: {}, plural: {}, kind: {}, type_id: TypeId({}), namespaced: {}, verbs: {}, subresources: Cow::Borrowed(&[{}]) }}",
        text(&resource.group),
        text(&resource.version),
        text(&resource.plural),
        text(&resource.kind),
        resource.type_id,
        resource.namespaced,
        texts(&resource.verbs),
        subresources.join(", ")
    )
}

fn text(text: &str) -> String {
    format!("Cow::Borrowed({text:?})")
}

fn texts(values: &[String]) -> String {
    format!("Cow::Borrowed(&[{}])", values.iter().map(|value| text(value)).collect::<Vec<_>>().join(", "))
}
